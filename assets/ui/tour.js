// A tour for newcomers, by driver.js, which is fetched from this server when somebody starts the tour. It is offered
// once, beside a recorded sample, and never starts by itself; the button above stays.
(() => {
  "use strict";
  const driverAddress = document.currentScript?.dataset.driver;
  const KEPT = "apt-studio-tour";
  const STEPS = [ // what is lit up, in which view, and what is said of it
    ["#headline", "overview", "The verdict", "What came out, in one sentence made of measured figures: how much worse the pruned model reads text that it has not seen. Below it stands what was asked for, and where it was measured."],
    [".samples", "overview", "One model, several ways", "Recorded runs of the same model, from hardly hurt to broken; each says in one line what to look at. Start with the first."],
    ["#figures", "overview", "Three figures", "Perplexity before and after: the lower, the better. The weights that are exactly zero now. Time and memory that it took."],
    ["#layers-section", "overview", "Every layer", "One point for each pruned layer: how far its outputs moved. A click on a point names it, and looks inside it in a run of yours."],
    ["#size-and-speed", "size", "Smaller? Faster?", "Measured before and after. Zeros alone save nothing; the sentence says why, and what would."],
    ["#read", "answers", "Compare outputs", "The same question to both models, with the same random numbers, so every difference is the pruning. Numbers say how much; this says what it feels like."],
    ["#go", "overview", "Your turn", "Choose a model, how much goes and how. What it will take stands here before anything starts; Prune starts it, and you may close the page meanwhile."],
  ];

  function wanted() {
    const seen = (selector) => {
      const found = document.querySelector(selector);
      return found?.offsetParent ? found : null;
    };
    const before = document.documentElement.dataset.view;
    const found = STEPS.filter(([selector, view]) => {
      document.documentElement.dataset.view = view;
      return seen(selector);
    });
    document.documentElement.dataset.view = before;
    return found.map(([selector, view, title, description]) => ({
      element: () => (window.aptStudio.openView(view), document.querySelector(selector)),
      popover: { title, description },
    }));
  }

  let loading = null;
  function driver() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = driverAddress;
      script.onload = () => resolve(window.driver.js.driver);
      script.onerror = () => { loading = null; reject(new Error("driver.js could not be loaded")); };
      document.head.appendChild(script);
    });
    return loading;
  }

  async function start() {
    keep();
    for (const button of document.querySelectorAll("[data-tour]")) {
      button.textContent = "Tour";
      button.classList.remove("offered");
    }
    window.aptStudio.openTab("");
    const make = await driver();
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    make({
      steps: wanted(),
      popoverClass: "tour",
      animate: !calm,
      smoothScroll: false,
      showProgress: true,
      progressText: "{{current}} of {{total}}",
      nextBtnText: "Next",
      prevBtnText: "Back",
      doneBtnText: "Done",
      disableActiveInteraction: true,
      stagePadding: 6,
      onHighlighted: (element) => {
        // driver.js calls what it lights up the opener of a dialog, which sections are not.
        for (const name of ["aria-haspopup", "aria-expanded", "aria-controls"]) element?.removeAttribute(name);
        document.querySelector(".driver-popover-next-btn")?.focus({ preventScroll: true });
      },
    }).drive();
  }

  function kept() {
    try { return localStorage.getItem(KEPT); } catch { return "unknown"; } // a private window is not asked each time
  }

  function keep() {
    try { localStorage.setItem(KEPT, "offered"); } catch { /* private window */ }
  }

  const waiting = setInterval(() => { // until the page is there
    const button = document.querySelector(".masthead [data-tour]");
    if (!button || !document.querySelector(".headline")) return;
    clearInterval(waiting);
    if (kept() || !document.querySelector(".headline .badge")) return;
    button.innerHTML = "<span>New here? Take the tour</span>"; // a narrow screen has room for less
    button.classList.add("offered");
    keep();
  }, 200);

  document.addEventListener("click", (event) => event.target.closest("[data-tour]") && start());
})();
