// The list of models says of each one how large it is, whether it is here and whether it fits, under a heading for each
// group. The server is asked when the list opens, since models come and go.
(() => {
  "use strict";
  const KEPT = 15000; // ms that an answer holds
  const BOX = "#model, #search-model";
  let notes = {};
  let asked = 0;

  async function ask() {
    if (Date.now() - asked < KEPT) return;
    asked = Date.now();
    try {
      const answer = await fetch("studio/models", { signal: AbortSignal.timeout(8000) });
      if (answer.ok) notes = await answer.json();
    } catch { /* the titles are there */ }
    document.querySelectorAll(BOX).forEach(write);
  }

  function write(box) {
    let group = "";
    for (const option of box.querySelectorAll("[role=option]")) {
      const known = notes[option.getAttribute("aria-label")];
      set(option, "data-note", known?.note);
      set(option, "aria-description", known && `${known.note}; ${known.group}`);
      set(option, "data-group", known && known.group !== group ? known.group : "");
      group = known?.group ?? group;
    }
  }

  function set(option, name, text) {
    if (!text) option.removeAttribute(name);
    else if (option.getAttribute(name) !== text) option.setAttribute(name, text);
  }

  const watched = new WeakSet();
  document.addEventListener("focusin", (event) => {
    const box = event.target.closest?.(BOX);
    if (!box) return;
    ask();
    if (watched.has(box)) return;
    watched.add(box);
    new MutationObserver(() => write(box)).observe(box, { childList: true, subtree: true });
    write(box);
  });
})();
