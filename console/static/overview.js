// The overview's charts: the history of the flow, with marks for what happened.
"use strict";

const EVERY_MS = 5000;
const HEIGHT = 200;
// The letters stand in the list of what happened too.
const MARKS = {
  pause: ["P", "--bad"], halt: ["H", "--bad"], problem: ["!", "--warn"], deployment: ["D", "--link"], run: ["R", "--good"],
};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clock = (seconds) => inViewersZone("clock", new Date(seconds * 1000));
const utcClock = (seconds) => `${new Date(seconds * 1000).toISOString().slice(11, 19)} UTC`;

function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  const within = (seconds) => Math.min(Math.max(plot.valToPos(seconds, "x", true), bbox.left), bbox.left + bbox.width);
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px sans-serif`;
  for (const mark of marks) {
    if (mark.until < plot.scales.x.min || mark.began > plot.scales.x.max) continue;
    const [letter, name] = MARKS[mark.kind];
    const left = within(mark.began);
    ctx.fillStyle = colour(name);
    ctx.globalAlpha = 0.12;
    ctx.fillRect(left, bbox.top, within(mark.until) - left, bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, bbox.top, devicePixelRatio, bbox.height);
    ctx.fillText(letter, left + 3 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
  }
  ctx.restore();
}

// Returns a function that shows the data, of which all charts share one object.
function chart(element, shown) {
  const series = element.dataset.series.split(",").map((pair) => pair.split(":"));
  // Colours are functions, since somebody may choose others.
  const [dim, line] = ["--dim", "--line"].map((name) => () => colour(name));
  const axis = { stroke: dim, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  const isZoomed = (plot) => plot.scales.x.min > shown.from + 1 || plot.scales.x.max < shown.until - 1;
  const plot = new uPlot({
    width: element.clientWidth, height: HEIGHT,
    // A span that is chosen in one chart is shown in all of them.
    cursor: { sync: { key: "overview" }, drag: { x: true, y: false } },
    scales: {
      // Without a span of somebody's choice, all of the time is shown, also that before the first sample.
      x: {
        range: ({ data: [at] }, low, high) =>
          (low == null || (low === at[0] && high === at.at(-1)) ? [shown.from, shown.until] : [low, high]),
      },
      y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.1] },
    },
    axes: [{
      ...axis, space: 80, values: (_, times, at, space, step) => times.map((time) => clock(time).slice(0, step < 60 ? 8 : 5)),
    }, { ...axis, size: 60 }],
    series: [{ label: "time", value: (_, time) => (time == null ? "—" : `${clock(time)} (${utcClock(time)})`) },
      ...series.map(([, label], number) => ({
        label, stroke: () => colour(`--series-${number + 1}`), width: 2, dash: number ? [6, 3] : [], points: { show: false },
      }))],
    hooks: {
      draw: [(plot) => drawMarks(plot, shown.marks)],
      setScale: [(plot, scale) => { if (scale === "x") element.toggleAttribute("data-zoomed", isZoomed(plot)); }],
    },
  }, [[], ...series.map(() => [])], element);
  document.addEventListener("themed", () => plot.redraw());
  new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT })).observe(element);
  return () => {
    const zoomed = element.hasAttribute("data-zoomed");
    plot.setData([shown.samples.at, ...series.map(([name]) => shown.samples[name])], !zoomed);
    if (zoomed) plot.redraw();
    // A screen reader gets the last values of the lines.
    const last = series.map(([name, label]) => `${label} ${shown.samples[name].at(-1)?.toFixed(1) ?? "not known"}`);
    element.setAttribute("aria-label", `${element.closest("figure").querySelector("figcaption").textContent}: ${last.join(", ")}`);
  };
}

// Adds what came since the last answer, beginning with the last sample of that one, and drops what is too old.
function add(shown, { from, until, marks, ...samples }) {
  const first = samples.at[0] ?? Infinity;
  const isKept = (shown.samples?.at ?? []).map((at) => at >= from && at < first);
  for (const name of Object.keys(samples)) {
    samples[name] = [...(shown.samples?.[name] ?? []).filter((_, number) => isKept[number]), ...samples[name]];
  }
  Object.assign(shown, { samples, from, until, marks });
}

async function keepCharts(container) {
  const shown = { samples: null, from: 0, until: 1, marks: [] };
  const charts = [...container.querySelectorAll(".chart")].map((element) => chart(element, shown));
  const draw = async () => {
    try {
      const answer = await fetch(`${container.dataset.samples}&after=${shown.samples?.at.at(-1) ?? 0}`);
      if (!answer.ok) return;
      add(shown, await answer.json());
      for (const show of charts) show();
    } catch {
      doesNotAnswer();
    }
  };
  await draw();
  setInterval(draw, EVERY_MS);
}

document.addEventListener("DOMContentLoaded", () => {
  for (const container of document.querySelectorAll("[data-samples]")) keepCharts(container);
});
