// A run as slides over the whole screen, by keyboard alone. The slides are HTML of this server (studio/runs/ID/slides).
(() => {
  "use strict";
  let dialog = null; // the slides on the screen
  const slides = () => [...dialog.querySelectorAll(".slide")];
  const now = () => slides().findIndex((slide) => !slide.hidden);

  async function present(run, whole) {
    if (dialog) return;
    if (whole) await document.documentElement.requestFullscreen?.().catch(() => {}); // refused: the window will do
    open(await slidesOf(run), run);
  }

  async function slidesOf(run) {
    try {
      const answer = await fetch(`studio/runs/${encodeURIComponent(run)}/slides`);
      const text = await answer.text();
      return answer.ok ? withAnswers(fragment(text), run) : excuse(text);
    } catch {
      return excuse("The app does not answer; it may have been stopped.");
    }
  }

  function fragment(html) {
    const made = document.createElement("template");
    made.innerHTML = html;
    return made.content;
  }

  function excuse(sentence) {
    const made = fragment('<section class="slide" tabindex="0"><div class="slide-body"><h2>Nothing to present</h2><p></p></div></section>');
    made.querySelector("p").textContent = sentence;
    return made;
  }

  // What both models said on the page is a slide too, where the run brings no recorded answers.
  function withAnswers(made, run) {
    const said = window.aptStudio.shown() === run && document.querySelector("#both .duel[aria-busy=false]");
    const spoken = said && [...said.querySelectorAll(".said")].every((one) => !one.querySelector(".quiet"));
    if (!spoken || made.querySelector('[data-slide="answers"]')) return made;
    const slide = made.querySelector('[data-slide="gain"]').cloneNode(true);
    slide.dataset.slide = "answers";
    const prompt = document.querySelector("#both .asked-prompt")?.dataset.prompt.trim();
    const title = document.createElement("h2");
    title.textContent = prompt ? `Both were asked: ${prompt}` : "Both were asked the same";
    slide.querySelector(".slide-body").replaceChildren(title, said.cloneNode(true));
    made.querySelector('[data-slide="gain"]').before(slide);
    const all = [...made.querySelectorAll(".slide")];
    all.forEach((each, place) => {
      each.querySelector(".slide-number").textContent = `${place + 1} / ${all.length}`;
      each.setAttribute("aria-label", `${place + 1} of ${all.length}: ${each.querySelector("h2").textContent}`);
    });
    return made;
  }

  function open(made, run) {
    dialog = document.createElement("dialog");
    dialog.className = "presenter";
    dialog.setAttribute("aria-label", "Presentation; arrow keys turn the slides, Escape ends");
    dialog.append(made, controls());
    dialog.addEventListener("keydown", keys);
    dialog.addEventListener("close", end);
    document.body.append(dialog);
    dialog.showModal();
    show(0);
    address(run);
  }

  function controls() {
    const bar = document.createElement("nav");
    bar.setAttribute("aria-label", "Slides");
    for (const [label, does, key] of [["Back", () => step(-1), "←"], ["Next", () => step(1), "→"], ["End", () => dialog.close(), "Esc"]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.title = key;
      button.addEventListener("click", does);
      bar.append(button);
    }
    return bar;
  }

  function show(place) {
    const all = slides();
    const wanted = Math.max(0, Math.min(place, all.length - 1));
    all.forEach((slide, at) => (slide.hidden = at !== wanted));
    all[wanted].scrollTop = 0;
    all[wanted].focus({ preventScroll: true });
  }

  const step = (by) => show(now() + by);

  const TURNS = {
    ArrowRight: () => step(1), PageDown: () => step(1), ArrowLeft: () => step(-1), PageUp: () => step(-1),
    ArrowDown: () => step(1), ArrowUp: () => step(-1), Home: () => show(0), End: () => show(Infinity),
  };

  function keys(event) {
    event.stopPropagation(); // no shortcut of the page behind
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const slide = slides()[now()];
    const scrolls = /^Arrow(Up|Down)$/.test(event.key) && slide.scrollHeight > slide.clientHeight + 1;
    const turn = event.key === " " && !event.target.closest("button") ? () => step(event.shiftKey ? -1 : 1) : TURNS[event.key];
    if (!turn || scrolls) return;
    event.preventDefault();
    turn();
  }

  function end() {
    dialog.remove();
    dialog = null;
    address("");
    if (document.fullscreenElement) document.exitFullscreen();
  }

  // The browser takes the first Escape for itself when the slides fill the screen.
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement) dialog?.close();
  });

  function address(run) {
    const url = new URL(window.location.href);
    if (run) url.searchParams.set("present", run);
    else url.searchParams.delete("present");
    window.history.replaceState(window.history.state, "", url.href.replaceAll("%2C", ","));
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-present]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab
    event.preventDefault();
    present(link.dataset.present, true);
  });

  const asked = new URLSearchParams(window.location.search).get("present");
  if (asked) document.body ? present(asked, false) : window.addEventListener("DOMContentLoaded", () => present(asked, false));
})();
