// On paper the page is light and as wide as the paper; its charts hear of it (they watch the class of the body) and are
// drawn for that before the browser takes its picture.
(() => {
  "use strict";
  let wasDark = false;
  window.addEventListener("beforeprint", () => {
    wasDark = document.body.classList.contains("dark");
    document.body.classList.remove("dark");
    document.body.classList.add("on-paper");
  });
  window.addEventListener("afterprint", () => {
    document.body.classList.remove("on-paper");
    document.body.classList.toggle("dark", wasDark);
  });
})();
