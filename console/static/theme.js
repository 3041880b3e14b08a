// The chosen colours, before anything is painted: light, dark, or as the system has them.
"use strict";

const THEMES = ["system", "light", "dark"];

// A browser may refuse to keep anything: a choice then lasts as long as the page.
function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch { /* See above. */ }
}

function choose(theme) {
  document.documentElement.dataset.theme = THEMES.includes(theme) ? theme : "system";
}

choose(kept("theme"));
// What works only with scripts has its place from the first paint on.
document.documentElement.dataset.scripted = "";
