// The pages' own script beside htmx: times, what is new, and a notice when the console itself does not answer.
"use strict";

const unanswered = () => document.getElementById("unanswered");

function answers() {
  unanswered().hidden = true;
  document.getElementById("live")?.classList.remove("stale");
}

function doesNotAnswer() {
  // The figures stay on the page, and must not look current.
  const notice = unanswered();
  // Show it once: a screen reader would announce it again at each poll.
  if (!notice.hidden) return;
  const asOf = document.getElementById("as-of");
  notice.querySelector("span").textContent = asOf ? asOf.textContent : "an earlier time";
  notice.hidden = false;
  document.getElementById("live")?.classList.add("stale");
}

document.addEventListener("htmx:sendError", doesNotAnswer);
document.addEventListener("htmx:timeout", doesNotAnswer);
document.addEventListener("htmx:afterOnLoad", answers);
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status >= 500 && event.detail.requestConfig.verb === "get") doesNotAnswer();
});
// A refusal is a fragment that says why: it is shown in the place of the answer.
document.addEventListener("htmx:beforeSwap", (event) => {
  const status = event.detail.xhr.status;
  if (event.detail.requestConfig.verb !== "get" && status >= 400) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

// Times come in UTC, and are shown in the viewer's zone; the title keeps UTC, as in logs.
const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const formats = Object.fromEntries(Object.entries({
  full: { ...DAY, ...CLOCK, timeZoneName: "short" },
  exact: { ...DAY, ...CLOCK, fractionalSecondDigits: 3, timeZoneName: "short" },
  clock: CLOCK,
  day: DAY,
// The locale is the one that writes days as ISO 8601 does.
}).map(([form, options]) => [form, new Intl.DateTimeFormat("sv-SE", options)]));

function inViewersZone(form, at) {
  const part = Object.fromEntries(formats[form].formatToParts(at).map(({ type, value }) => [type, value]));
  const day = `${part.year}-${part.month}-${part.day}`;
  const clock = `${part.hour}:${part.minute}:${part.second}${form === "exact" ? `.${part.fractionalSecond}` : ""}`;
  if (form === "clock") return clock;
  return form === "day" ? dayInWords(at, day) : `${day} ${clock} ${part.timeZoneName}`;
}

function dayInWords(at, day) {
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
  // A day that ends summer time has 25 hours.
  const ago = Math.round((midnight(new Date()) - midnight(at)) / 86_400_000);
  return { 0: "today", 1: "yesterday" }[ago] ?? day;
}

function showTimes() {
  for (const element of document.querySelectorAll("time[data-form]")) {
    const shown = inViewersZone(element.dataset.form, new Date(element.dateTime));
    if (element.textContent !== shown) element.textContent = shown;
  }
}

document.addEventListener("htmx:afterSwap", showTimes);

// Polled parts are replaced each time, changed or not. A screen reader announces only lines marked `data-says` that were
// not there before.
// What is hidden, because the page says it elsewhere, is not announced.
const lines = () => [...document.querySelectorAll("[data-says]")].filter((element) => element.getClientRects().length)
  .map((element) => (element.dataset.says || element.textContent).replace(/\s+/g, " ").trim());
let told = new Set();

function sayWhatIsNew() {
  const now = lines();
  const fresh = now.filter((line) => !told.has(line));
  told = new Set(now);
  if (fresh.length) document.getElementById("said").textContent = fresh.join(" ");
}

document.addEventListener("htmx:afterSettle", sayWhatIsNew);

document.addEventListener("DOMContentLoaded", () => {
  showTimes();
  // The screen reader has read these lines with the page.
  told = new Set(lines());
  // `data-all="name"` ticks every box of that name. Where one of them is unticked, not all are meant any more.
  document.addEventListener("change", (event) => {
    const { name, checked, dataset } = event.target;
    const boxes = dataset?.all ? `[name="${dataset.all}"]` : name && !checked ? `[data-all="${name}"]` : null;
    if (!boxes) return;
    for (const box of document.querySelectorAll(`input[type=checkbox]${boxes}`)) box.checked = checked;
  });
});
