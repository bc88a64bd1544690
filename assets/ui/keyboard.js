// What the keyboard expects of groups and Gradio leaves out: a group of radio buttons is one stop whose arrows choose, and
// so are the tabs; the list of a field closes when Tab leaves it.
(() => {
  "use strict";
  const tabs = () => [...document.querySelectorAll("#tabs > .tab-wrapper [role=tab], #tabs > div [role=tab]")].filter((tab) => tab.offsetParent);

  // Gradio names every radio button apart; of one name they are a group to the browser, which does the rest.
  function group() {
    for (const input of document.querySelectorAll(".block input[type=radio]")) {
      const name = `group-${input.closest(".block").id}`;
      if (input.name !== name) input.name = name;
    }
  }

  function oneStop() {
    const all = tabs();
    if (!all.some((tab) => tab.getAttribute("aria-selected") === "true")) return;
    for (const tab of all) {
      const index = tab.getAttribute("aria-selected") === "true" ? "0" : "-1";
      if (tab.getAttribute("tabindex") !== index) tab.setAttribute("tabindex", index);
    }
  }

  // A list that scrolls would be the next stop, and take the focus with it when it closes.
  function noStop() {
    for (const list of document.querySelectorAll(".block ul[role=listbox]:not([tabindex])")) list.tabIndex = -1;
  }

  // The list of a field that Tab leaves would stay open; Gradio closes it at Escape.
  document.addEventListener("focusout", ({ target }) => {
    if (!target.matches?.(".block input[role=combobox]") || target.id === "hub-query") return;
    setTimeout(() => {
      if (document.activeElement === target || !target.closest(".block").querySelector("ul[role=listbox]")) return;
      target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", code: "Escape", bubbles: true }));
    }, 150); // a click on the list is done by then
  });

  document.addEventListener("keydown", (event) => {
    const all = tabs();
    const now = all.indexOf(event.target);
    if (now < 0 || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const tab = all[(next + all.length) % all.length];
    tab.click();
    tab.focus();
  });

  let waiting = 0;
  new MutationObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => { group(); oneStop(); noStop(); });
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
})();
