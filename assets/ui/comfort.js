// Everyday comfort: single keys with a sheet that lists them, and a notice when a long run ends while the visitor is
// elsewhere. What is chosen here stays in this browser.
(() => {
  "use strict";
  const KEPT = "apt-studio-comfort";
  const OFF = { notify: false, sound: false, keys: true };
  const sheet = () => document.getElementById("keys-sheet");

  function settings() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
      return Object.fromEntries(Object.entries(OFF).map(([name, off]) => [name, typeof kept[name] === "boolean" ? kept[name] : off]));
    } catch {
      return { ...OFF };
    }
  }

  function keep(name, value) {
    try { localStorage.setItem(KEPT, JSON.stringify({ ...settings(), [name]: value })); } catch { /* private window */ }
  }

  // ---- the sheet --------------------------------------------------------------------------------

  function openSheet() {
    const chosen = settings();
    for (const box of sheet().querySelectorAll("[data-setting]")) box.checked = chosen[box.dataset.setting];
    say("");
    sheet().showModal(); // the browser keeps the focus inside, closes it on Escape and gives the focus back
  }

  const say = (sentence) => (sheet().querySelector("[data-said]").textContent = sentence);

  document.addEventListener("change", async (event) => {
    const box = event.target;
    const name = box.dataset?.setting;
    if (!name) return;
    keep(name, box.checked);
    if (name === "sound" && box.checked) play();
    if (name === "notify" && box.checked && !(await mayNotify())) {
      keep(name, (box.checked = false));
      say("Your browser does not let this page notify you; its settings for this site can change that.");
    }
  });

  // The browser asks, and only here: somebody has just ticked the box.
  async function mayNotify() {
    if (!("Notification" in window)) return false;
    return (await Notification.requestPermission()) === "granted";
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keys]")) openSheet();
  });

  // ---- keys -------------------------------------------------------------------------------------

  const TYPES = "input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, select, [contenteditable=true], [role=combobox], [role=listbox]";

  function isTaken(event) {
    return event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing
      || document.fullscreenElement || document.querySelector("dialog[open], [aria-modal=true]")
      || event.target.closest?.(TYPES);
  }

  const tabs = () => [...document.querySelectorAll("#tabs > .tab-wrapper [role=tab], #tabs > div [role=tab]")];
  const named = (id) => tabs().find((tab) => tab.dataset.tabId === id);

  function whenShown(selector, then, left = 40) {
    const found = [...document.querySelectorAll(selector)].find((each) => each.offsetParent);
    if (found) then(found);
    else if (left) setTimeout(() => whenShown(selector, then, left - 1), 50);
  }

  function go(tab, selector) {
    const there = named(tab);
    if (there && there.getAttribute("aria-selected") !== "true") there.click();
    whenShown(selector, (found) => found.focus());
  }

  const rowOf = (element) => element?.closest?.("#runs tr[data-run]");
  const rows = () => [...document.querySelectorAll("#runs tr[data-run]")].filter((row) => row.offsetParent);
  let lastRun = ""; // the row that had the focus: the list may have been drawn anew since

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const now = all.indexOf(rowOf(document.activeElement) ?? all.find((row) => row.dataset.run === lastRun));
    const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + by))];
    lastRun = next.dataset.run;
    next.querySelector("a[data-action=open]").focus();
  }

  const ofRow = (selector) => rowOf(document.activeElement)?.querySelector(selector)?.click();

  const KEYS = {
    "?": openSheet,
    p: () => go("explore", "#prune"),
    m: () => go("explore", "#model input"),
    "/": () => go("runs", "#runs-search input, #runs-search textarea"),
    j: () => step(1),
    k: () => step(-1),
    x: () => ofRow("[data-pick]"),
    l: () => ofRow("[data-action=label]"),
    d: () => document.querySelector("[data-shade]")?.click(),
  };

  document.addEventListener("keydown", (event) => {
    if (isTaken(event) || (!settings().keys && event.key !== "?")) return;
    const digit = /^[1-9]$/.test(event.key) && tabs()[Number(event.key) - 1];
    const action = digit ? () => digit.click() : KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // ---- the end of a run ---------------------------------------------------------------------------

  const ENDED = { finished: "Finished", failed: "Failed", cancelled: "Stopped" };
  const LONG = 5000; // ms that a run was watched here: a shorter one ends before anybody is elsewhere
  let watched = { run: "", since: 0, live: false };
  let title = "";

  document.addEventListener("apt-run", ({ detail: { run, status } }) => {
    const live = !(status in ENDED);
    if (run !== watched.run) watched = { run, since: Date.now(), live };
    const ends = watched.live && !live && Date.now() - watched.since > LONG;
    watched.live = live;
    if (ends && (document.hidden || !document.hasFocus())) setTimeout(() => announce(status), 300); // its words arrive
  });

  function announce(status) {
    const said = document.querySelector(".headline h2")?.textContent.trim() ?? "";
    title ||= document.title;
    document.title = `${ENDED[status]} · ${title}`;
    const chosen = settings();
    if (chosen.sound) play();
    if (chosen.notify && "Notification" in window && Notification.permission === "granted") {
      const notice = new Notification(`${ENDED[status]} · APT Studio`, { body: said.slice(0, 200), tag: "apt-studio-run" });
      notice.onclick = () => { window.focus(); notice.close(); };
    }
  }

  function back() {
    if (document.hidden || !title) return;
    document.title = title;
    title = "";
  }
  document.addEventListener("visibilitychange", back);
  window.addEventListener("focus", back);

  // Two soft notes; no file is fetched.
  function play() {
    const Context = window.AudioContext;
    if (!Context) return;
    const context = new Context();
    [523.25, 659.25].forEach((pitch, place) => {
      const note = context.createOscillator();
      const volume = context.createGain();
      const at = context.currentTime + place * 0.18;
      note.frequency.value = pitch;
      volume.gain.setValueAtTime(0, at);
      volume.gain.linearRampToValueAtTime(0.08, at + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.4);
      note.connect(volume).connect(context.destination);
      note.start(at);
      note.stop(at + 0.45);
    });
    setTimeout(() => context.close(), 1500);
  }
})();
