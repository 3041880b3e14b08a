// Keys for people who look fast, the window that lists them, and the switch of the colours.
"use strict";

const PREFIX_LASTS_MS = 1500;
const TYPED_INTO = "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select, [contenteditable]";
const ROWS = "[data-row], tr[data-letter], tr[data-run], [data-sequence]";
const OPENS = "a[href], summary";

const keysWindow = () => document.getElementById("keys");
const rows = () => [...document.querySelectorAll(ROWS)].filter((row) => row.checkVisibility());
const rowInFocus = () => document.activeElement?.closest(ROWS);

// People who speak to their computer press keys without wanting to: all of them can be switched off.
const keysAreOn = () => document.getElementById("keys-on")?.checked;

function move(by) {
  const all = rows();
  if (!all.length) return;
  const now = all.indexOf(rowInFocus());
  const row = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + by, 0), all.length - 1)];
  // What opens the row has the focus, so Enter opens it.
  const opens = row.querySelector(OPENS);
  if (!opens) row.tabIndex = -1;
  (opens ?? row).focus();
  row.scrollIntoView({ block: "nearest" });
}

const KEYS = {
  "/": () => document.getElementById("search").focus(),
  "?": () => keysWindow().showModal(),
  j: () => move(1),
  k: () => move(-1),
  x: () => rowInFocus()?.querySelector("input[type=checkbox]")?.click(),
};

// When `g` was pressed, which waits for the key of a page.
let going = -Infinity;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest(TYPED_INTO) || keysWindow()?.open || !keysAreOn()) return;
  const goes = event.timeStamp - going < PREFIX_LASTS_MS;
  going = !goes && event.key === "g" ? event.timeStamp : -Infinity;
  const page = goes && document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
  const act = page ? () => page.click() : Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (!act || (goes && !page)) return;
  event.preventDefault();
  act();
});

const THEME_SIGNS = { system: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function keepThemeSwitch() {
  const button = document.getElementById("theme");
  const theme = () => document.documentElement.dataset.theme;
  const show = () => {
    const [sign, name] = THEME_SIGNS[theme()];
    button.textContent = sign;
    button.title = `Colours: ${name}`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    choose(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
    keep("theme", theme());
    show();
    // Charts are painted in colours, and painted anew when these change.
    document.dispatchEvent(new Event("themed"));
  });
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  keepThemeSwitch();
  const on = document.getElementById("keys-on");
  // Whoever has not signed in has no pages to go to.
  if (!on) return;
  on.checked = kept("keys") !== "off";
  on.addEventListener("change", () => keep("keys", on.checked ? "on" : "off"));
  document.getElementById("help").addEventListener("click", KEYS["?"]);
});
