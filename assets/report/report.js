// The script of a report: draws each chart when it comes near, in the colours of the reader's system, light on paper.
// It asks nobody for anything.
(() => {
  "use strict";
  const { charts, template, dark } = JSON.parse(document.getElementById("report-data").textContent);
  const shade = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 720px)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const drawn = new Set();
  let onPaper = false;

  function recoloured(chart) {
    const text = JSON.stringify(chart);
    if (!shade.matches || onPaper) return JSON.parse(text);
    return JSON.parse(text.replace(/#[0-9A-Fa-f]{6}\b/g, (hex) => dark[hex.toUpperCase()] ?? hex));
  }

  function draw(host) {
    const { data, layout } = recoloured(charts[host.dataset.chart]);
    layout.template = template;
    layout.autosize = true;
    layout.height = (narrow.matches && layout.meta?.narrowHeight) || layout.height || 360;
    if (coarse) layout.dragmode = false; // a finger scrolls the page
    drawn.add(host);
    return Plotly.react(host, data, layout, { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false });
  }

  const hosts = [...document.querySelectorAll("[data-chart]")];
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting && !drawn.has(target)) draw(target);
  }, { rootMargin: "800px" });
  hosts.forEach((host) => near.observe(host));
  shade.addEventListener("change", () => drawn.forEach(draw));
  window.addEventListener("beforeprint", () => { onPaper = true; hosts.forEach(draw); });
  window.addEventListener("afterprint", () => { onPaper = false; hosts.forEach(draw); });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const label = (button.dataset.label ??= button.textContent);
    const shown = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(shown.textContent);
      button.textContent = "Copied";
    } catch { // a file has no clipboard in some browsers: select it, the reader copies
      const range = document.createRange();
      range.selectNodeContents(shown);
      window.getSelection().removeAllRanges();
      window.getSelection().addRange(range);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = label), 2000);
  });
})();
