// The little script of the page: charts that keep their zoom, the address, copy and confirm buttons.
// Everything else is Gradio's. No requests leave this host.
window.aptStudio = (() => {
  "use strict";
  const plotlyAddress = document.currentScript?.dataset.plotly;
  let plotlyLoading = null;

  // The shade that the visitor chose last time: in the address for Gradio, and at once for the page.
  try {
    const chosen = localStorage.getItem("apt-studio-theme");
    const url = new URL(window.location.href);
    if ((chosen === "dark" || chosen === "light") && !url.searchParams.has("__theme")) {
      url.searchParams.set("__theme", chosen);
      window.history.replaceState(window.history.state, "", url);
      document.body?.classList.toggle("dark", chosen === "dark");
    }
  } catch { /* private window */ }
  const started = setInterval(() => { // Gradio has read it: a copied address must not force it on somebody else
    if (!document.querySelector("#tabs [role=tab]")) return;
    clearInterval(started);
    const url = new URL(window.location.href);
    url.searchParams.delete("__theme");
    window.history.replaceState(window.history.state, "", url);
    followTabs();
  }, 50);

  function wished(...names) {
    const asked = new URLSearchParams(window.location.search);
    return names.some((name) => asked.get(name));
  }
  if (wished("run")) { // the page opens with a sample, which is not what was asked for
    document.documentElement.classList.add("arriving");
    setTimeout(() => document.documentElement.classList.remove("arriving"), 15000); // whatever went wrong
  }

  // Which view of the run is shown; without this script all of them are. A link may ask for one that the run turns out
  // not to have: then it is the overview.
  let view = new URLSearchParams(window.location.search).get("view") || "overview";
  document.documentElement.dataset.view = view;

  function plotly() {
    plotlyLoading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = plotlyAddress;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("plotly.js could not be loaded"));
      document.head.appendChild(script);
    });
    return plotlyLoading;
  }

  const isDark = () => document.body.classList.contains("dark");
  const FEWEST_LABELS = 3; // of an axis
  const coarse = window.matchMedia("(pointer: coarse)").matches;

  // The charts that one sees at once come first, each other one when the browser has nothing else to do.
  function turn(element) {
    const below = element.getBoundingClientRect().top > window.innerHeight;
    if (!below || !window.requestIdleCallback) return null;
    return new Promise((resolve) => window.requestIdleCallback(resolve, { timeout: 2000 }));
  }

  // Figures come in the light colours; on a dark page every one is replaced by its dark twin.
  function recoloured(text) {
    if (!isDark()) return JSON.parse(text);
    return JSON.parse(text.replace(/#[0-9A-Fa-f]{6}\b/g, (hex) => darkOf()[hex.toUpperCase()] ?? hex));
  }

  let twins = null;
  function darkOf() {
    if (twins) return twins;
    twins = {};
    const light = {}, dark = {};
    for (const sheet of document.styleSheets) {
      let rules;
      try { rules = sheet.cssRules; } catch { continue; }
      collect(rules, light, dark);
    }
    for (const name in light) if (dark[name]) twins[light[name].toUpperCase()] = dark[name];
    return twins;
  }

  function collect(rules, light, dark) {
    for (const rule of rules) {
      if (rule.style && rule.selectorText) {
        const into = /\.dark\b/.test(rule.selectorText) ? dark : light;
        for (const name of rule.style) {
          if (name.startsWith("--apt-")) into[name] ??= rule.style.getPropertyValue(name).trim();
        }
      }
      if (rule.cssRules?.length) collect(rule.cssRules, light, dark);
    }
  }

  // ---- charts ---------------------------------------------------------------------------------

  function chart(element, props, watch) {
    const find = (selector) => element.querySelector(selector);
    const host = find(".chart-host");
    const name = element.closest(".block").id.replace(/-chart$/, "");
    for (const what of ["note", "table"]) find(`.chart-${what}`).id = `${name}-${what}`;
    let drawn = false;
    let unseen = false; // it was drawn where nobody sees it, and so not measured

    async function draw() {
      const value = props.value;
      find(".chart").dataset.shown = value?.figure ? "yes" : "no";
      if (!value?.figure) return;
      find(".chart-title").textContent = value.title;
      find(".chart-summary").textContent = value.summary;
      host.setAttribute("aria-label", `${value.title}. ${value.summary}`);
      const link = find('[data-tool="csv"]');
      link.hidden = !value.csv;
      if (value.csv) link.href = value.csv;
      for (const what of ["note", "table"]) fill(find(`.chart-${what}`), value[what] ?? "");
      find('[data-tool="table"]').hidden = !value.table;
      host.style.minHeight = `${heightOf(JSON.parse(value.figure).layout)}px`; // room for it, before plotly.js is here
      const Plotly = await plotly();
      if (!drawn) await turn(element);
      if (props.value !== value) return; // a newer one is on its way
      const { data, layout } = recoloured(value.figure);
      if (coarse) layout.dragmode = false;
      layout.autosize = true;
      layout.height = heightOf(layout);
      if (layout.height < JSON.parse(value.figure).layout.height) small(layout);
      await Plotly.react(host, data, layout, { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false });
      if (!drawn) listen(Plotly);
      drawn = true;
      unseen = !host.offsetWidth;
      keepLabels(Plotly);
    }

    // A zoom between the labels that an axis was given would leave it without any: plotly then chooses its own.
    function keepLabels(Plotly) {
      if (!figure()) return;
      const { xaxis, yaxis } = JSON.parse(props.value.figure).layout;
      keepBlocks(Plotly, xaxis?.dtick);
      const axis = host._fullLayout.yaxis;
      const given = yaxis?.tickvals;
      if (!given || !axis?.range) return;
      const [low, high] = axis.range.map((end) => (axis.type === "log" ? 10 ** end : end));
      const mode = given.filter((tick) => tick >= low && tick <= high).length < FEWEST_LABELS ? "auto" : "array";
      if (axis.tickmode !== mode) Plotly.relayout(host, { "yaxis.tickmode": mode });
    }

    // A zoom into a few of many blocks: every block, or every second one, is named then.
    function keepBlocks(Plotly, given) {
      const axis = host._fullLayout.xaxis;
      if (!given || !axis?.range) return;
      const wide = Math.abs(axis.range[1] - axis.range[0]);
      const step = [100, 50, 20, 10, 5, 2, 1].find((each) => each <= given && wide / each >= FEWEST_LABELS) ?? 1;
      if (axis.dtick !== step) Plotly.relayout(host, { "xaxis.dtick": step });
    }

    // Names above the plot take lines of their own on a narrow screen; a chart of the overview is a low one.
    function heightOf(layout) {
      const height = (window.innerWidth < 720 && layout.meta?.narrowHeight) || layout.height;
      const most = parseFloat(getComputedStyle(element).getPropertyValue("--most-height"));
      return most ? Math.min(most, height) : height;
    }

    function listen(Plotly) {
      host.on("plotly_click", (event) => select(event.points[0]));
      host.on("plotly_relayout", (change) => {
        const zoomed = Object.keys(change).some((key) => /axis\.range/.test(key));
        const reset = Object.keys(change).some((key) => /axis\.autorange/.test(key)) || change["reset"];
        if (zoomed || reset) find('[data-tool="reset"]').hidden = !zoomed;
        keepLabels(Plotly);
      });
      host.on("plotly_doubleclick", () => (find('[data-tool="reset"]').hidden = true));
      new ResizeObserver(() => host.offsetWidth && (unseen || !atItsHeight() ? draw() : Plotly.Plots.resize(host))).observe(host);
    }

    // What the words around a low chart say already.
    function small(layout) {
      if (layout.yaxis) layout.yaxis.title = { text: "" };
      layout.margin = { ...layout.margin, l: 56 };
      layout.legend = { ...layout.legend, font: { ...layout.legend?.font, size: 11 }, entrywidth: 0 };
    }

    const figure = () => props.value?.figure; // a run may have nothing for a chart that is drawn already
    const atItsHeight = () => !figure() || host.layout?.height === heightOf(JSON.parse(figure()).layout);

    function select(point) {
      if (!point?.data?.meta) return;
      const [sentence, key] = point.customdata.slice(-2);
      const readout = find(".chart-readout");
      readout.hidden = false;
      readout.textContent = sentence;
      const inside = document.querySelector("#inside:not(.hide)");
      if (inside && !inside.offsetParent && element.closest("#result")) {
        readout.append(" ", Object.assign(document.createElement("button"), {
          type: "button", className: "quiet-button", textContent: "Look inside",
          onclick: () => { openView("layers"); document.dispatchEvent(new CustomEvent("apt-layer", { detail: key })); },
        }));
      }
      document.querySelectorAll("tr[data-key][aria-selected]").forEach((row) => row.removeAttribute("aria-selected"));
      const same = `tr[data-key="${CSS.escape(key)}"]`;
      document.querySelectorAll(same).forEach((row) => row.setAttribute("aria-selected", "true"));
      element.closest(".chart-section")?.querySelector(same)?.scrollIntoView({ block: "nearest" });
      document.dispatchEvent(new CustomEvent("apt-layer", { detail: key }));
    }

    function showTable(yes) {
      find(".chart-table").hidden = !yes;
      find('[data-tool="table"]').textContent = yes ? "Hide the table" : "Show as a table";
      if (yes) find(".chart-table").scrollIntoView({ block: "nearest" });
    }

    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !find(".more").open) return;
      find(".more").open = false;
      find(".more summary").focus();
    });
    document.addEventListener("click", (event) => find(".more").contains(event.target) || (find(".more").open = false));
    element.addEventListener("click", async (event) => {
      const tool = event.target.closest("[data-tool]")?.dataset.tool;
      if (tool) find(".more").open = false;
      if (tool === "table") return showTable(find(".chart-table").hidden);
      if (tool !== "svg" && tool !== "png" && tool !== "reset") return;
      const Plotly = await plotly();
      if (tool === "reset") {
        const { layout } = recoloured(props.value.figure);
        const wanted = { "xaxis.autorange": !layout.xaxis.range, "yaxis.autorange": !layout.yaxis.range };
        if (layout.xaxis.range) wanted["xaxis.range"] = layout.xaxis.range;
        if (layout.yaxis.range) wanted["yaxis.range"] = layout.yaxis.range;
        await Plotly.relayout(host, wanted);
        find('[data-tool="reset"]').hidden = true;
        return;
      }
      const { data, layout } = JSON.parse(props.value.figure); // on paper it is light
      layout.title = { text: props.value.title, x: 0, xref: "paper", font: { size: 18, color: "#1B1B1F" } };
      layout.margin = { ...layout.margin, t: 80 };
      layout.paper_bgcolor = "#FFFFFF";
      const size = { width: 1000, height: layout.height + 80 };
      await Plotly.downloadImage({ data, layout: { ...layout, ...size } }, { format: tool, filename: props.value.file, ...size });
    });

    new MutationObserver(() => drawn && draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    document.addEventListener("apt-view", () => drawn && host.offsetWidth && !atItsHeight() && draw());
    watch("value", draw);
    part(element, props, draw);
    draw();
  }

  // ---- watching a run -------------------------------------------------------------------------

  const parts = {}; // name -> a function that makes the component show another value

  // Gradio tells its own news to `watch`, but not a value that we set; `changed` is called for that.
  function part(element, props, changed) {
    parts[element.closest(".block").id] = (value) => {
      const goBack = whereWeAre(element);
      props.value = value;
      changed?.();
      goBack();
    };
  }

  // The same HTML is left as it is: what is selected or has the focus in it stays.
  function fill(element, html) {
    if (element.dataset.html === html) return;
    const goBack = whereWeAre(element);
    element.dataset.html = html;
    element.innerHTML = html;
    goBack();
  }

  // New HTML takes the place of the old: afterwards focus the same link again, and stay where we had scrolled to.
  function whereWeAre(element) {
    const href = element.contains(document.activeElement) && document.activeElement.getAttribute("href");
    const box = element.querySelector(".scroll");
    if (!href && !box?.scrollLeft && !box?.scrollTop) return () => {};
    const { scrollLeft, scrollTop } = box ?? {};
    return () => requestAnimationFrame(() => {
      const same = href && element.querySelector(`a[href="${CSS.escape(href)}"]`);
      if (same && !element.contains(document.activeElement)) same.focus({ preventScroll: true });
      Object.assign(element.querySelector(".scroll") ?? {}, { scrollLeft, scrollTop });
    });
  }

  // While a run, or another one in its charts, goes on, ask the server once a second what is new, and show that. When
  // the run has turned (finished, stopped, deleted), press `seen`: Gradio then brings everything, buttons included.
  function follow(props, watch, trigger) {
    let asking = false;
    let pressed = 0;
    let unseen = 0;

    function keepAddress() {
      const { run, link } = props.value ?? {};
      remember({ run: run && link ? run : "", shown: run ?? "" });
    }

    goTo = (run) => {
      if (!run || props.value?.run === run) return;
      props.value = { ...props.value, run };
      trigger("click");
    };

    const tell = () => {
      const { run, status } = props.value ?? {};
      if (run && status) document.dispatchEvent(new CustomEvent("apt-run", { detail: { run, status } }));
    };

    async function ask() {
      const seen = props.value;
      const hidden = document.hidden;
      if (!seen?.live || asking || (hidden && ++unseen % 5)) return; // out of sight, now and then: it may end
      asking = true;
      try {
        const { run, status, seq, charts } = seen;
        const what = new URLSearchParams({ run, status, seq, charts, ...(hidden && { hidden }) });
        const answer = await fetch(`studio/runs/${run}/live?${what}`, { signal: AbortSignal.timeout(8000) });
        if (props.value !== seen) return; // another run was opened meanwhile
        if (answer.status === 503) return;
        say("");
        const news = answer.ok ? await answer.json() : { turned: true };
        if (news.turned) return press();
        if (hidden || document.hidden) return; // nobody looks
        for (const [name, value] of Object.entries(news.parts)) parts[name]?.(value);
        Object.assign(seen, news.seen); // also whether there will be more: other runs in its charts may go on after it
      } catch {
        say("The app does not answer. The run may well go on; this page tries again every second.");
      } finally {
        asking = false;
      }
    }

    function press() {
      if (Date.now() - pressed < 3000) return; // the answer to the last press is still on its way
      pressed = Date.now();
      trigger("click");
    }

    watch("value", () => {
      requestAnimationFrame(() => document.documentElement.classList.remove("arriving")); // the rest is drawn by then
      pressed = 0;
      tell();
      if (askedForRun) showView("overview");
      keepAddress();
      if (askedForRun) showTop(); // its state is at the top
      askedForRun = false;
    });
    if (props.value?.run && !wished("run", "compare", "study")) { // the sample with which the page opens: Back leads to it
      place ??= { run: "", tab: "", shown: props.value.run, compare: "", study: "", view: "" };
      window.history.replaceState({ ...window.history.state, studio: place }, "");
    }
    setInterval(ask, 1000);
    document.addEventListener("visibilitychange", () => document.hidden || ask());
  }

  // ---- where we are: the run and the tab, in the address and the history ------------------------

  let goTo = () => {}; // shows another run
  let goToCompared = () => {}; // compares other runs
  let goToSweep = () => {}; // shows another sweep
  const SHOWS = { compare: "compare", sweep: "study" }; // tab -> what it shows of runs, by its name in the address
  let place = null; // what the newest entry of the history shows: { run, tab, shown, compare, study, view }
  let goingBack = false;
  let showedAt = 0; // when another run or comparison was shown, 0 when the last step was another tab

  // A new entry for every other run or tab that the visitor opens; none for what Back and Forward bring.
  function remember(change) {
    const now = { run: "", tab: "", shown: "", compare: "", study: "", ...place, view: view === "overview" ? "" : view, ...change };
    const url = new URL(window.location.href);
    const alone = ["compare", "sweep"].includes(now.tab) && now[SHOWS[now.tab]]; // then the address names these runs alone
    const said = { run: alone ? "" : now.run, tab: alone ? "" : now.tab, compare: "", study: "", view: now.tab ? "" : now.view };
    if (alone) said[SHOWS[now.tab]] = alone;
    for (const [name, value] of Object.entries(said)) {
      if (value) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    const moved = ["run", "tab", "compare", "study", "view"].filter((name) => place && place[name] !== now[name]).join();
    place = now;
    // Opening a run from the list changes what is shown and then the tab: one step.
    const same = moved === "tab" && showedAt && Date.now() - showedAt < 1500;
    const landing = navigator.userActivation && !navigator.userActivation.hasBeenActive; // the visitor did nothing yet
    const write = moved && !goingBack && !same && !landing ? "pushState" : "replaceState";
    showedAt = moved && moved !== "tab" ? Date.now() : 0;
    window.history[write]({ ...window.history.state, studio: now }, "", url.href.replaceAll("%2C", ","));
  }

  const tabs = () => [...document.querySelectorAll("#tabs > .tab-wrapper [role=tab], #tabs > div [role=tab]")];
  const nameOf = (tab) => tab.dataset.tabId ?? tab.textContent.trim().toLowerCase(); // its text may be translated
  const first = () => nameOf(tabs()[0]);

  function openTab(name) {
    const tab = tabs().find((each) => nameOf(each) === (name || first()));
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  }

  // "Try it" on the map of methods: the form, with that method chosen.
  function tryMethod(name) {
    openTab("");
    const choose = document.querySelector("#choose");
    choose?.classList.add("all-methods");
    document.querySelector("[data-all-methods]")?.setAttribute("aria-expanded", "true");
    const radio = document.querySelector(`#method input[value="${CSS.escape(name)}"]`);
    radio?.click();
    radio?.scrollIntoView({ block: "center" });
    radio?.focus();
  }

  // "Try it" for what is not in the list of methods: the server puts the choice in and opens the tab; then we go there.
  let sought = "";
  function tries(element, trigger) {
    element.addEventListener("click", (event) => {
      sought = event.target.closest("[data-try]")?.dataset.try ?? "";
      if (sought) trigger("click", { action: "try", what: sought });
    });
  }
  function tried() {
    if (!sought) return;
    const place = { recovery: "#recover", search: "#search", law: "#law" }[sought.split(":")[0]] ?? "#advanced";
    sought = "";
    if (place !== "#advanced") openView("next");
    setTimeout(() => { // the tab is drawn
      const section = document.querySelector(place);
      if (!section?.checkVisibility()) return document.querySelector("#note")?.scrollIntoView({ block: "center" });
      const head = section.querySelector(".label-wrap");
      if (head && !head.classList.contains("open")) head.click();
      section.scrollIntoView({ block: "start" });
      head?.focus();
    }, 150);
  }

  function followTabs() {
    const asked = new URLSearchParams(window.location.search).get("tab");
    const list = tabs()[0].closest("[role=tablist]");
    function keep() {
      const open = tabs().find((tab) => tab.getAttribute("aria-selected") === "true");
      const name = open && nameOf(open) !== first() ? nameOf(open) : "";
      if (open && name !== (place?.tab ?? "")) remember({ tab: name });
    }
    new MutationObserver(keep).observe(list, { attributes: true, subtree: true, attributeFilter: ["aria-selected"] });
    if (asked) openTab(asked);
    else keep(); // a quick visitor has opened one already
  }

  window.addEventListener("popstate", (event) => {
    const there = event.state?.studio;
    if (!there) return;
    goingBack = true;
    setTimeout(() => (goingBack = false), 3000); // the run comes from the server
    place = there;
    openTab(there.tab);
    goTo(there.shown);
    showView(there.view || "overview");
    if (there.tab === "compare") goToCompared(there.compare);
    if (there.tab === "sweep") goToSweep(there.study);
  });

  let askedForRun = false; // the visitor pressed Prune or opened a run, and waits to see it

  function showTop() {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    window.scrollTo({ top: 0, behavior: calm ? "auto" : "smooth" });
  }

  let complaint = "";
  function say(sentence) {
    if (sentence === complaint) return;
    parts.note?.(sentence ? `<p class="says-no" role="status">${sentence}</p>` : "");
    complaint = sentence;
  }

  // ---- comparing runs -------------------------------------------------------------------------

  // Which runs are compared is in the address, so that it can be shared, and in the history.
  function compared(props, watch, trigger) {
    const now = () => (props.value?.runs ?? []).join(",");
    goToCompared = (runs) => {
      if (runs && runs !== now()) trigger("click", { action: "compare", runs });
    };
    watch("value", () => {
      if (!now()) return;
      remember({ compare: now() });
      showTop();
    });
  }

  // The views of the run that is shown: links, of which one is the page.
  const links = () => [...document.querySelectorAll(".views [data-view]")];
  function showView(name) {
    view = name;
    const known = !links().length || links().some((link) => link.dataset.view === view);
    const shown = known ? view : "overview";
    const changed = document.documentElement.dataset.view !== shown;
    document.documentElement.dataset.view = shown;
    for (const link of links()) {
      if (link.dataset.view === shown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (changed) document.dispatchEvent(new CustomEvent("apt-view"));
  }
  function openView(name) {
    showView(name);
    if (place) remember({});
  }
  function views(element) {
    new MutationObserver(() => showView(view)).observe(element, { childList: true, subtree: true });
    element.addEventListener("click", (event) => {
      const link = event.target.closest("[data-view]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab
      event.preventDefault();
      openView(link.dataset.view);
    });
    showView(view);
  }

  // The same of the sweep that is shown.
  function sweeps(element, trigger) {
    runs(element, trigger);
    const now = () => element.querySelector("[data-study]")?.dataset.study ?? "";
    goToSweep = (study) => {
      if (study && study !== now()) trigger("click", { action: "study", study });
    };
    const keep = () => now() && now() !== place?.study && remember({ study: now() });
    keep();
    new MutationObserver(keep).observe(element, { childList: true, subtree: true, attributeFilter: ["data-study"] });
  }

  // The runs that are ticked stay so while the list is drawn anew, searched and turned over.
  const picked = new Set();
  const MOST_PICKED = 12;
  let focused = ""; // what had the focus in the list before it was drawn anew, as a selector

  // A tick box, a link or a button of a row.
  function placeOf(target) {
    const { pick, action } = target.dataset ?? {};
    const run = target.closest("[data-run]")?.dataset.run;
    if (pick) return `[data-pick="${CSS.escape(pick)}"]`;
    return run && action ? `[data-run="${CSS.escape(run)}"] [data-action="${CSS.escape(action)}"]` : "";
  }
  document.addEventListener("pointerdown", (event) => event.target.closest("#runs") || (focused = ""));

  function sayPicked() {
    const bar = document.querySelector(".compare-bar");
    if (!bar) return;
    const count = picked.size;
    const [comparing, deleting, untick] = ["compare", "delete", "untick"].map((action) => bar.querySelector(`[data-action=${action}]`));
    comparing.disabled = count < 2 || count > MOST_PICKED;
    comparing.textContent = count > 1 ? `Compare ${count} runs` : "Compare";
    deleting.hidden = !count || !document.querySelector('#runs [data-action="label"]'); // where runs may be changed
    deleting.textContent = count > 1 ? `Delete ${count} runs` : "Delete";
    untick.hidden = !count;
    bar.querySelector("[role=status]").textContent = count > MOST_PICKED
      ? `${count} runs are ticked; at most ${MOST_PICKED} can be compared.`
      : count === 1 ? "One run is ticked; tick another to compare." : count ? "" : `Tick two to ${MOST_PICKED} runs to compare them.`;
  }

  function compareBar(element, trigger) {
    element.addEventListener("click", (event) => {
      const action = event.target.closest("[data-action]")?.dataset.action;
      if (!action) return;
      const runs = [...picked].join(",");
      if (action === "untick") return forgetPicks([...picked]);
      trigger("click", { action, runs });
      if (action === "delete") focusUndo();
    });
    sayPicked();
  }

  function forgetPicks(runs) {
    for (const run of runs) picked.delete(run);
    for (const box of document.querySelectorAll("[data-pick]")) box.checked = picked.has(box.dataset.pick);
    sayPicked();
  }

  function keepPicks(element) {
    const boxes = [...element.querySelectorAll("[data-pick]")];
    for (const box of boxes) box.checked = picked.has(box.dataset.pick);
    const lost = document.activeElement === document.body && focused;
    if (lost) element.querySelector(focused)?.focus({ preventScroll: true });
    if (boxes.length) sayPicked();
  }

  // What was deleted took the focus with it: the way back is the next thing to press.
  function focusUndo() {
    const button = () => document.querySelector(".undo:not([hidden]) [data-action=undo]");
    const before = button()?.dataset.runs;
    let left = 40;
    const looking = setInterval(() => {
      const undo = button();
      if (undo && undo.dataset.runs !== before) undo.focus({ preventScroll: true });
      if (document.activeElement === undo || --left < 0) clearInterval(looking);
    }, 50);
  }

  // Buttons with a `data-action` tell the server; a notice with `data-seconds` goes when they are over.
  function pressed(element, trigger) {
    element.addEventListener("click", (event) => {
      const target = event.target.closest("[data-action]");
      if (target) trigger("click", { ...target.dataset });
    });
    const drawnAnew = () => {
      for (const notice of element.querySelectorAll("[data-seconds]")) {
        const undo = notice.querySelector("[data-runs]");
        const { runs } = undo.dataset;
        forgetPicks(runs.split(","));
        setTimeout(() => (notice.hidden ||= undo.dataset.runs === runs), 1000 * notice.dataset.seconds);
      }
    };
    new MutationObserver(drawnAnew).observe(element, { childList: true, subtree: true, attributeFilter: ["data-runs"] });
  }

  // One dialog for every row: what is written in it stays while the list behind it is drawn anew.
  let openLabels = () => {};
  function labelSheet(element, trigger) {
    const dialog = element.querySelector("dialog");
    const { name, tags, note, pinned } = dialog.querySelector("form").elements;
    let run = "";
    openLabels = (row) => {
      run = row.dataset.run;
      dialog.querySelector("[data-of]").textContent = `Run ${run}`;
      name.value = row.dataset.name;
      tags.value = row.dataset.tags;
      note.value = row.dataset.note;
      pinned.checked = row.dataset.pinned === "yes";
      dialog.returnValue = "";
      dialog.showModal();
      name.select();
    };
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "save") {
        trigger("click", { action: "label", run, name: name.value, tags: tags.value, note: note.value, pinned: pinned.checked });
      }
      const button = document.querySelector(`tr[data-run="${CSS.escape(run)}"] [data-action="label"]`);
      button?.focus({ preventScroll: true });
    });
  }

  // The section that looks inside a layer hears which point of the layer chart was clicked.
  function layerPicked(element, trigger) {
    document.addEventListener("apt-layer", (event) => {
      if (element.isConnected && element.closest("#inside")?.offsetParent) trigger("click", { layer: event.detail });
    });
  }

  // ---- lists of runs (the tab, and those of a chart) and of models ---------------------------------------------------

  function runs(element, trigger) {
    element.addEventListener("click", (event) => {
      const target = event.target.closest("[data-action]");
      if (!target) return;
      if (target.dataset.action === "compare") {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab
        event.preventDefault();
        trigger("click", { action: "compare", runs: target.dataset.runs });
        return;
      }
      const action = target.dataset.action;
      if (action === "page") return trigger("click", { action, page: target.dataset.page });
      const row = target.closest("[data-run], [data-model]");
      if (action === "label") return openLabels(row);
      const confirm = row.querySelector(".confirm");
      const ask = row.querySelector('[data-action="ask-delete"]');
      if (action === "ask-delete" || action === "keep") {
        confirm.hidden = action === "keep";
        ask.hidden = action === "ask-delete";
        (action === "keep" ? ask : confirm.querySelector('[data-action="keep"]')).focus();
        return;
      }
      if (action === "open" && (event.ctrlKey || event.metaKey || event.shiftKey)) return; // a new tab
      event.preventDefault();
      if (confirm) { confirm.hidden = true; ask.hidden = false; } // the row may be another run's next time
      if (action === "delete" && row.dataset.run) focusUndo();
      trigger("click", { action, ...row.dataset });
    });
    element.addEventListener("change", (event) => {
      const run = event.target.dataset?.pick;
      if (!run) return;
      if (event.target.checked) picked.add(run);
      else picked.delete(run);
      sayPicked();
    });
    element.addEventListener("focusin", (event) => (focused = placeOf(event.target)));
    const drawnAnew = () => { localTimes(element); keepPicks(element); };
    drawnAnew();
    new MutationObserver(drawnAnew).observe(element, { childList: true, subtree: true, characterData: true });
  }

  function localTimes(element) {
    for (const time of element.querySelectorAll("time[datetime]")) {
      const shown = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      if (!Number.isNaN(Date.parse(time.dateTime)) && time.textContent !== shown) time.textContent = shown;
    }
  }

  // ---- searching the Hub ----------------------------------------------------------------------

  // A question goes to the Hub when somebody has stopped typing; the answer is a list box below the input.
  function search(element, trigger) {
    const input = element.querySelector("input");
    const folded = element.querySelector("details");
    folded.addEventListener("toggle", () => folded.open && input.focus());
    const list = () => document.getElementById("hub-results");
    const options = () => [...list().querySelectorAll("[data-model]")];
    let typing = 0, asked = "";

    function open(yes) {
      element.closest(".block").classList.toggle("open", yes);
      input.setAttribute("aria-expanded", String(yes && options().length > 0));
      if (!yes) mark(null);
    }

    function mark(option) {
      for (const each of options()) each.setAttribute("aria-selected", String(each === option));
      if (option) input.setAttribute("aria-activedescendant", option.id);
      else input.removeAttribute("aria-activedescendant");
      option?.scrollIntoView({ block: "nearest" });
    }

    function ask() {
      const query = input.value.trim();
      if (query === asked) return open(query !== "");
      asked = query;
      element.closest(".block").classList.toggle("busy", query !== "");
      open(query !== "");
      trigger("input", { query });
    }

    function choose(option) {
      clearTimeout(typing);
      trigger("select", { model: option.dataset.model });
      open(false);
      folded.open = false;
    }

    input.addEventListener("input", () => {
      clearTimeout(typing);
      if (input.value.trim() === "") return open(false);
      typing = setTimeout(ask, 400);
    });
    input.addEventListener("focus", () => open(asked !== "" && input.value.trim() === asked));
    input.addEventListener("keydown", (event) => {
      const all = options();
      const now = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
      if (event.key === "Escape") return open(false);
      if (event.key === "Enter") {
        event.preventDefault();
        clearTimeout(typing);
        return now >= 0 ? choose(all[now]) : ask();
      }
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && all.length) {
        event.preventDefault();
        open(true);
        const step = event.key === "ArrowDown" ? 1 : -1;
        mark(all[now < 0 ? (step > 0 ? 0 : all.length - 1) : (now + step + all.length) % all.length]);
      }
    });
    document.addEventListener("click", (event) => {
      const option = event.target.closest("#hub-results [data-model]");
      if (option) choose(option);
      else if (!event.target.closest("#hub-search, #hub-results")) open(false);
    });
    const answered = new MutationObserver(() => {
      element.closest(".block").classList.remove("busy");
      input.setAttribute("aria-expanded", String(options().length > 0));
    });
    const watching = setInterval(() => { // the list may be drawn after the input
      if (!list()) return;
      clearInterval(watching);
      answered.observe(list(), { childList: true, subtree: true, characterData: true });
    }, 50);
  }

  // ---- small things ---------------------------------------------------------------------------

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const text = copy.parentElement.querySelector("pre").textContent;
      const label = (copy.dataset.label ??= copy.textContent);
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = "Copied";
      } catch {
        const range = document.createRange(); // no clipboard here: select it, the reader copies
        range.selectNodeContents(copy.parentElement.querySelector("pre"));
        window.getSelection().removeAllRanges();
        window.getSelection().addRange(range);
        copy.textContent = "Selected";
      }
      setTimeout(() => (copy.textContent = label), 2000);
    }
    if (event.target.closest('#prune, #measure-start, button:is([id^="recover-"], [id^="search-"]), [data-action="open"]')) askedForRun = true;
    if (event.target.closest("#again")) {
      const chosen = document.querySelector("[data-fold]");
      chosen?.setAttribute("aria-expanded", "true"); // on a narrow screen the chooser was folded away
      if (chosen?.offsetParent) chosen.scrollIntoView({ block: "start" });
    }
    if (event.target.closest("[data-use-shown]")) document.querySelector("#again").click();
    if (event.target.closest(".label-wrap")) setTimeout(sayWhatIsOpen);
    const fold = event.target.closest("[data-fold]");
    if (fold) fold.setAttribute("aria-expanded", String(fold.getAttribute("aria-expanded") !== "true"));
    const all = event.target.closest("[data-all-methods]");
    if (all) all.setAttribute("aria-expanded", String(document.querySelector("#choose").classList.toggle("all-methods")));
    const wanted = event.target.closest("[data-try-method]")?.dataset.tryMethod;
    if (wanted) tryMethod(wanted);
    const inMap = event.target.closest(".map-group a[href^='#method-']");
    if (inMap) {
      event.preventDefault();
      document.querySelector(inMap.getAttribute("href"))?.scrollIntoView({ block: "start", behavior: "smooth" });
    }
    const shade = event.target.closest("[data-shade]");
    if (shade) {
      const dark = document.body.classList.toggle("dark");
      try { localStorage.setItem("apt-studio-theme", dark ? "dark" : "light"); } catch { /* private window */ }
    }
  });

  // Gradio's folded sections do not tell a screen reader whether they are open.
  function sayWhatIsOpen() {
    for (const button of document.querySelectorAll(".label-wrap")) {
      button.setAttribute("aria-expanded", String(button.classList.contains("open")));
    }
  }
  // The rail scrolls below a box that stays in view: while there is more under it, its upper edge casts a shadow.
  function sayWhetherThereIsMore() {
    const rail = document.hidden ? null : document.querySelector("#rail");
    rail?.classList.toggle("more-below", rail.scrollTop + rail.clientHeight < rail.scrollHeight - 4);
  }
  document.addEventListener("scroll", sayWhetherThereIsMore, { capture: true, passive: true });
  window.addEventListener("resize", sayWhetherThereIsMore);
  setInterval(sayWhetherThereIsMore, 500); // folds open, sentences come and go

  // The field that the refusal of the form speaks of, marked for eyes and screen readers.
  let marked = "";
  function markTheField() {
    const about = document.querySelector("#preflight [data-about]")?.dataset.about ?? "";
    const inputs = (id) => (id ? document.querySelectorAll(`#${CSS.escape(id)} :is(input:not([type=radio]), textarea)`) : []);
    if (about !== marked) for (const input of inputs(marked)) input.removeAttribute("aria-invalid");
    for (const input of inputs(about)) if (!input.hasAttribute("aria-invalid")) input.setAttribute("aria-invalid", "true");
    marked = about;
  }

  let waiting = 0;
  new MutationObserver(() => {
    markTheField();
    clearTimeout(waiting);
    waiting = setTimeout(sayWhatIsOpen, 300);
  }).observe(document.documentElement, { childList: true, subtree: true });

  const show = (name, value) => parts[name]?.(value); // in a part of the page
  const shown = () => place?.shown ?? ""; // the run that this tab shows

  return {
    chart, part, follow, layerPicked, runs, search, sweeps, compared, compareBar, pressed, labelSheet, show, shown, openTab, openView, views, tries, tried,
  };
})();
