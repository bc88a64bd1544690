// The table of what each layer gets before a run: a changed cell holds its layer. All changes that the table does not show
// yet are sent together, so that none is lost while an answer is on its way.
(() => {
  "use strict";
  const COMES_WITHIN = 10_000; // milliseconds

  window.aptStudio.shares = (element, trigger) => {
    const pending = {}; // layer -> what was typed
    let focused = null, typed = null; // where one is, and what is typed there but not sent yet
    let scrolled = {}; // a new table stands where the old one did

    const cell = (layer) => element.querySelector(`input[data-layer="${CSS.escape(layer)}"]`);

    element.addEventListener("scroll", ({ target }) => {
      if (target.isConnected) scrolled = { scrollLeft: target.scrollLeft, scrollTop: target.scrollTop };
    }, true);
    element.addEventListener("focusin", ({ target }) => (focused = target.dataset?.layer ?? null));
    element.addEventListener("focusout", ({ target, relatedTarget }) => {
      if (relatedTarget && target.isConnected) focused = null; // one has gone elsewhere, not the table away
    });
    element.addEventListener("input", ({ target }) => (typed = target.value));
    element.addEventListener("change", ({ target }) => {
      if (!target.dataset.layer) return;
      typed = null;
      pending[target.dataset.layer] = target.value;
      trigger("input", { cells: { ...pending } });
    });
    element.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      const row = event.target.closest("tr"), next = step < 0 ? row?.previousElementSibling : row?.nextElementSibling;
      if (!step || !event.altKey || !next) return;
      event.preventDefault();
      next.children[event.target.closest("td").cellIndex]?.querySelector("input")?.focus();
    });

    function drawnAnew() {
      for (const [layer, value] of Object.entries(pending)) {
        const input = cell(layer), held = input?.parentElement.dataset.held === "yes";
        if (!input || held === (value.trim() !== "")) delete pending[layer];
      }
      Object.assign(element.querySelector(".scroll") ?? {}, scrolled);
      const again = focused && cell(focused);
      if (!again || again === document.activeElement) return;
      if (typed !== null) again.value = typed;
      again.focus({ preventScroll: true });
    }
    new MutationObserver(drawnAnew).observe(element, { childList: true, subtree: true });
  };

  // The section comes with the first word of the answer.
  window.aptStudio.toShares = () => {
    const until = Date.now() + COMES_WITHIN;
    (function look() {
      const section = document.querySelector("#allocation");
      if (section?.offsetParent) section.scrollIntoView({ behavior: "smooth", block: "start" });
      else if (Date.now() < until) setTimeout(look, 100);
    })();
  };
})();
