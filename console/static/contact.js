// The contact page: events under the days of the viewer's zone, and an event that an address names is open.
"use strict";

// The server knows the days in UTC alone.
function regroup(timeline) {
  for (const heading of timeline.querySelectorAll(":scope > .day:has(time)")) heading.remove();
  let day = null;
  for (const row of timeline.querySelectorAll(":scope > .event")) {
    const time = row.querySelector("summary time");
    const own = time && new Date(time.dateTime).toDateString();
    if (own && own !== day) {
      const heading = document.createElement("li");
      heading.className = "day";
      const shown = Object.assign(document.createElement("time"), { dateTime: time.dateTime, title: time.title });
      shown.dataset.form = "day";
      heading.appendChild(document.createElement("h3")).appendChild(shown);
      row.before(heading);
      day = own;
    }
  }
}

// Not every browser opens the details that an address leads into.
function openAddressed() {
  const body = document.getElementById(location.hash.slice(1));
  const details = body?.closest(".event > details");
  if (!details || details.open) return;
  details.open = true;
  body.scrollIntoView();
}

window.addEventListener("hashchange", openAddressed);
document.addEventListener("DOMContentLoaded", () => {
  for (const timeline of document.querySelectorAll(".timeline")) regroup(timeline);
  showTimes();
  openAddressed();
});
