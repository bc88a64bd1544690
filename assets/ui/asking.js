// A typed prompt is never lost, and answers to another prompt than the typed one say so. No requests leave this page.
(() => {
  "use strict";
  const BOXES = { prompt: "#prompt textarea", prompts: "#prompt-set textarea" }; // name in the store -> where it is typed
  const known = {}; // name -> the element that was filled

  // Of this tab alone: it survives a reload and a restart of the app, and goes when the tab is closed.
  function kept(name) {
    try { return sessionStorage.getItem(`apt-studio-${name}`) ?? ""; } catch { return ""; }
  }
  function keep(name, text) {
    try { sessionStorage.setItem(`apt-studio-${name}`, text); } catch { /* private window, or full */ }
  }

  function look() {
    for (const [name, where] of Object.entries(BOXES)) {
      const box = document.querySelector(where);
      if (!box) continue;
      if (known[name] !== box) { // a new page, or drawn anew
        known[name] = box;
        if (!box.value && kept(name)) {
          box.value = kept(name);
          box.dispatchEvent(new Event("input", { bubbles: true }));
        }
      }
      if (box.value !== kept(name)) keep(name, box.value);
    }
    sayWhetherOlder();
  }

  function sayWhetherOlder() {
    const asked = document.querySelector("#both .asked-prompt");
    const typed = document.querySelector(BOXES.prompt)?.value ?? "";
    const older = asked?.querySelector("strong");
    if (older) older.hidden = !typed.trim() || typed === asked.dataset.prompt;
  }

  setInterval(() => document.hidden || look(), 300); // an example fills the box without a word
  window.addEventListener("pagehide", look); // what was typed within the last moment
})();
