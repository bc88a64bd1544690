// A text that is too large is refused beside its button, before it is sent; Gradio would say so in a corner of the page.
(() => {
  "use strict";
  const MOST = 10_000_000; // bytes; the server has the same limit, and may have a lower one
  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("#upload input[type=file], .block:has(#upload) input[type=file]")) return;
    const [file] = event.target.files ?? [];
    if (!file || file.size <= MOST) return;
    event.stopImmediatePropagation();
    const said = document.createElement("p");
    said.className = "says-no";
    said.setAttribute("role", "status");
    said.textContent = `${file.name} has ${(file.size / 1e6).toFixed(1)} MB; a text may have ${MOST / 1e6} at most.`;
    window.aptStudio.show("upload-note", said.outerHTML);
    event.target.value = "";
  }, true);
})();
