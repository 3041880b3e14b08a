// A day is a day in UTC where the page comes from, and one in the viewer's zone in the links that this makes of it.
"use strict";

function inViewersDays(link) {
  const today = new Date();
  const midnight = (ago) => new Date(today.getFullYear(), today.getMonth(), today.getDate() - ago);
  const ago = Number(link.dataset.daysAgo);
  const address = new URL(link.href);
  address.searchParams.set("since", midnight(ago).toISOString());
  address.searchParams.set("until", new Date(midnight(ago - 1).getTime() - 1).toISOString());
  link.href = address.href;
  link.querySelector("[data-zone]")?.remove();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-days-ago]").forEach(inViewersDays);
});
