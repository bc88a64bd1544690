// A text of sparsities ("0.4, 0.5, 0.6") drawn as a line over the depth of the model, whose points can be dragged, or
// moved by the arrow keys. The text stays the field: it can be typed, and is what is sent. Dashed is what the layers are
// really given: the line moved up or down until the whole model meets the sparsity that was asked for.
(() => {
  "use strict";
  const WIDTH = 300, HEIGHT = 120, LEFT = 36, RIGHT = 12, TOP = 12, BOTTOM = 24;
  const MOST = 0.99; // of a layer, as the allocation bounds it
  const MOST_POINTS = 24; // that are drawn; more can be typed

  const x = (place) => LEFT + place * (WIDTH - LEFT - RIGHT);
  const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const clip = (share) => Math.min(Math.max(share, 0), 1);
  const field = (editor) => editor.closest(".curve").querySelector("textarea, input");

  function pointsOf(text) {
    const points = text.replaceAll(";", ",").split(",").filter((part) => part.trim()).map(Number);
    return points.length && points.every((point) => point >= 0 && point <= 1) ? points : null;
  }

  // As `maths.shares.shifted`, for layers of one size, which blocks mostly are.
  function moved(points, sparsity) {
    const shares = Array.from({ length: 60 }, (_, place) => on(points, place / 59));
    let low = -1, high = 1;
    for (let step = 0; step < 40; step += 1) {
      const middle = (low + high) / 2;
      const mean = shares.reduce((sum, share) => sum + Math.min(Math.max(share + middle, 0), MOST), 0) / shares.length;
      if (mean < sparsity) low = middle; else high = middle;
    }
    return shares.map((share) => Math.min(Math.max(share + high, 0), MOST));
  }

  function on(points, depth) {
    const place = depth * (points.length - 1);
    const before = Math.min(Math.floor(place), points.length - 1), after = Math.min(before + 1, points.length - 1);
    return points[before] + (place - before) * (points[after] - points[before]);
  }

  const placeOf = (points, index) => (points.length > 1 ? index / (points.length - 1) : 0.5);

  function wanted() {
    const slider = document.querySelector("#sparsity input[type=number], #sparsity input[type=range]");
    return slider && slider.offsetParent !== null ? clip(Number(slider.value) / 100) : null;
  }

  function part(name, attributes, inside = "") {
    const made = document.createElementNS(document.querySelector(".curve-editor svg").namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = inside;
    return made;
  }

  function draw(editor) {
    const points = pointsOf(field(editor).value);
    const svg = editor.querySelector("svg"), said = editor.querySelector("[data-said]");
    const focused = svg.contains(document.activeElement) ? document.activeElement.dataset.point : null;
    svg.replaceChildren();
    for (const button of editor.querySelectorAll("button")) button.disabled = !points;
    if (!points || points.length > MOST_POINTS) {
      said.textContent = points ? "Too many points to draw; the text holds." : "Give sparsities between 0 and 1 with commas.";
      return;
    }
    for (const share of [0, 0.5, 1]) {
      svg.append(part("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share) }));
      svg.append(part("text", { x: LEFT - 5, y: y(share) + 4, "text-anchor": "end" }, `${share * 100}%`));
    }
    svg.append(part("text", { x: LEFT, y: HEIGHT - 5 }, "first block"));
    svg.append(part("text", { x: WIDTH - RIGHT, y: HEIGHT - 5, "text-anchor": "end" }, "last block"));
    const sparsity = wanted();
    if (sparsity !== null) {
      const given = moved(points, sparsity).map((share, place) => `${x(place / 59)},${y(share)}`).join(" ");
      svg.append(part("polyline", { class: "given", points: given }));
    }
    const line = points.map((share, index) => `${x(placeOf(points, index))},${y(share)}`).join(" ");
    svg.append(part("polyline", { class: "drawn", points: line }));
    points.forEach((share, index) => svg.append(handle(points, share, index)));
    said.textContent = sparsity === null
      ? "An N:M pattern gives every layer the same, unless layers may differ."
      : `Dashed: what each layer is given, so that ${Math.round(sparsity * 100)}% of all weights go.`;
    if (focused !== null) svg.querySelector(`[data-point="${focused}"]`)?.focus();
  }

  function handle(points, share, index) {
    const depth = Math.round(placeOf(points, index) * 100);
    return part("circle", {
      "data-point": index, cx: x(placeOf(points, index)), cy: y(share), r: 8, tabindex: 0, role: "slider",
      "aria-label": `Sparsity at ${depth}% of the depth`, "aria-orientation": "vertical",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share * 100), "aria-valuetext": `${Math.round(share * 100)}%`,
    });
  }

  function write(editor, points) {
    const typed = field(editor);
    fill(typed, points.map((point) => String(Math.round(clip(point) * 100) / 100)).join(", "));
    draw(editor);
  }

  function change(editor, index, share) {
    const points = pointsOf(field(editor).value);
    if (!points) return;
    points[index] = clip(share);
    write(editor, points);
  }

  const resampled = (points, count) => Array.from({ length: count }, (_, index) => on(points, placeOf({ length: count }, index)));

  function build(block) {
    const editor = document.createElement("div");
    editor.className = "curve-editor";
    editor.innerHTML =
      `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="group" aria-label="Sparsity over the depth of the model"></svg>` +
      '<p data-said></p><button type="button" class="quiet-button" data-fewer>Fewer points</button>' +
      '<button type="button" class="quiet-button" data-more>More points</button>';
    block.append(editor);
    draw(editor);
  }

  // ---- dragging, keys, buttons ------------------------------------------------------------------

  let dragged = null; // { editor, index }

  document.addEventListener("pointerdown", (event) => {
    const point = event.target.closest?.(".curve-editor [data-point]");
    if (!point) return;
    dragged = { editor: point.closest(".curve-editor"), index: Number(point.dataset.point) };
    point.focus();
    event.preventDefault();
  });
  document.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    const box = dragged.editor.querySelector("svg").getBoundingClientRect();
    const at = ((event.clientY - box.top) / box.height) * HEIGHT;
    change(dragged.editor, dragged.index, 1 - (at - TOP) / (HEIGHT - TOP - BOTTOM));
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => (dragged = null));

  const STEPS = { ArrowUp: 0.01, ArrowRight: 0.01, ArrowDown: -0.01, ArrowLeft: -0.01, PageUp: 0.1, PageDown: -0.1, Home: -1, End: 1 };
  document.addEventListener("keydown", (event) => {
    const point = event.target.closest?.(".curve-editor [data-point]");
    if (!point || !(event.key in STEPS)) return;
    event.preventDefault();
    const index = Number(point.dataset.point), editor = point.closest(".curve-editor");
    change(editor, index, pointsOf(field(editor).value)[index] + STEPS[event.key]);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".curve-editor button");
    if (!button) return;
    const editor = button.closest(".curve-editor"), points = pointsOf(field(editor).value);
    const count = points.length + ("more" in button.dataset ? 1 : -1);
    if (count >= 1 && count <= MOST_POINTS) write(editor, resampled(points, count));
  });

  // ---- the field "Start": what the shown run gave each layer, by a press ------------------------------------------

  function offer(block) {
    const bar = document.createElement("div");
    bar.className = "start-offer";
    bar.innerHTML = '<button type="button" class="quiet-button">As in the shown run</button><p data-said role="status"></p>';
    block.append(bar);
  }

  function fill(typed, text) {
    const kind = typed.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(typed, text); // Svelte listens to the event
    typed.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function begin(bar) {
    const run = window.aptStudio.shown(), said = bar.querySelector("[data-said]");
    const answer = run ? await fetch(`studio/runs/${encodeURIComponent(run)}/results.json`).catch(() => null) : null;
    const shares = answer?.ok ? (await answer.json()).allocated : null;
    if (!shares) {
      said.textContent = run ? "The shown run gave every layer the same; open one with another allocation." : "Open a run first.";
      return;
    }
    const layers = Object.entries(shares).map(([layer, share]) => `${layer}=${Number(share.toFixed(4))}`);
    fill(bar.closest(".start-of-layers").querySelector("textarea, input"), layers.join(", "));
    said.textContent = `${layers.length} layers begin as in run ${run}.`;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".start-offer button");
    if (button) begin(button.closest(".start-offer"));
  });

  // ---- drawn where a field is, and again when it, or the sparsity, changes ------------------------

  let due = false;
  function look() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      for (const block of document.querySelectorAll(".start-of-layers")) {
        if (!block.querySelector(".start-offer") && block.querySelector("textarea, input")) offer(block);
      }
      for (const block of document.querySelectorAll(".curve")) {
        const editor = block.querySelector(".curve-editor");
        if (!editor) { if (block.querySelector("textarea, input")) build(block); continue; }
        const state = `${field(editor).value}|${wanted()}`;
        if (editor.dataset.state !== state) { editor.dataset.state = state; draw(editor); }
      }
    });
  }
  for (const name of ["input", "change", "click"]) document.addEventListener(name, look);
  document.addEventListener("DOMContentLoaded", () => {
    new MutationObserver((changes) => {
      if (changes.some(({ target }) => !target.closest?.(".curve-editor"))) look();
    }).observe(document.body, { childList: true, subtree: true });
    look();
  });
})();
