// One series over time: its mean as a line, its least to greatest as a band; alarms shaded with what was expected then, and marks of what happened (drawn by uPlot).
import { el, say } from "./element.js";
import { measured, tick } from "./format.js";
import { onTheme } from "./theme.js";

const HEIGHT = 200;
const SCALES = 3; // so many scales around the expected value are drawn as usual
let library = null;

/** uPlot is read when the first chart is needed. */
export function loadCharts() {
  library ??= import("./uPlot.esm.js").then((module) => module.default);
  return library;
}

function colours() {
  const probe = document.createElement("i");
  document.body.append(probe);
  const of = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const found = Object.fromEntries(["accent", "line", "muted", "bad", "bad-soft", "accent-soft", "ok", "ok-fill", "warn", "wait", "idle", "surface"].map((name) => [name, of(name)]));
  probe.remove();
  return found;
}

/** A chart: `update({title, note, times, mean, min, max, spans, marks})` with all times in ms; `onRange(from, to)` after a drag. */
export function bandChart(uPlot, onRange) {
  const title = el("strong");
  const note = el("span", { class: "aside" });
  const place = el("div", { class: "plot" });
  const node = el("figure", { class: "band" }, el("figcaption", {}, title, " ", note), place);
  let [plot, shown] = [null, null];
  const build = () => {
    plot?.destroy();
    plot = null;
    if (shown && place.clientWidth > 0) plot = new uPlot(options(uPlot, place.clientWidth, () => shown, onRange), columns(shown), place);
  };
  const sized = new ResizeObserver(() => requestAnimationFrame(() => {
    if (!node.isConnected || !shown || place.clientWidth === 0) return;
    if (plot) plot.setSize({ width: place.clientWidth, height: HEIGHT });
    else build();
  }));
  sized.observe(place);
  onTheme(() => node.isConnected && build());
  return {
    node,
    update(series) {
      shown = series;
      say(title, series.title);
      say(note, series.note);
      node.setAttribute("aria-label", `${series.title}: ${series.note}`);
      if (plot) plot.setData(columns(series));
      else build();
    },
    end() {
      sized.disconnect();
      plot?.destroy();
    },
  };
}

const columns = ({ times, mean, min, max }) => [times.map((at) => at / 1000), max, min, mean];

function options(uPlot, width, shown, onRange) {
  const colour = colours();
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: colour.muted, font, grid: { stroke: colour.line, width: 1 }, ticks: { show: false } };
  const edge = { width: 0, points: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { setScale: false } },
    padding: [18, 18, 0, 0],
    scales: { x: { time: true, range: () => shown().range.map((at) => at / 1000) }, y: { range: (_, least, greatest) => withUsual(uPlot, shown(), least, greatest) } },
    axes: [{ ...axis, size: 30, values: (_, ticks) => ticks.map((at) => tick(at * 1000, shown().range)) }, { ...axis, size: 50, values: (_, ticks) => ticks.map(measured) }],
    series: [{}, { ...edge, label: "greatest" }, { ...edge, label: "least" }, { label: "mean", stroke: colour.accent, width: 1.75, points: { show: false } }],
    bands: [{ series: [1, 2], fill: colour["accent-soft"] }],
    hooks: {
      drawClear: [(plot) => shade(plot, shown().spans, colour)],
      draw: [(plot) => pin(plot, shown().marks, colour, font)],
      setSelect: [(plot) => {
        if (plot.select.width < 6) return;
        const [from, to] = [plot.select.left, plot.select.left + plot.select.width].map((x) => Math.round(plot.posToVal(x, "x") * 1000));
        plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        onRange(from, to);
      }],
    },
  };
}

/** The range of the values, with what was expected in it. */
function withUsual(uPlot, { spans }, least, greatest) {
  const usual = spans.filter((span) => span.scale > 0).flatMap(({ expected, scale }) => [expected - SCALES * scale, expected + SCALES * scale]);
  const all = [least, greatest, ...usual].filter(Number.isFinite);
  return all.length ? uPlot.rangeNum(Math.min(...all), Math.max(...all), 0.1, true) : [0, 1];
}

/** Spans of alarms behind the line, each with an edge where it began and a band of what was expected meanwhile. */
function shade(plot, spans, colour) {
  within(plot, ({ context, top, height, x, y }) => {
    for (const { from, to, expected, scale } of spans) {
      const [x0, width] = [x(from), Math.max(2, x(to) - x(from))];
      fill(context, colour["bad-soft"], x0, top, width, height);
      fill(context, colour.bad, x0, top, 1.5, height);
      if (!(scale > 0)) continue;
      const [high, low, middle] = [expected + SCALES * scale, expected - SCALES * scale, expected].map(y);
      context.globalAlpha = 0.3;
      fill(context, colour["ok-fill"], x0, high, width, low - high);
      context.globalAlpha = 1;
      dashed(context, colour.ok, [x0, middle], [x0 + width, middle]);
    }
  });
}

/** What happened, as a line with a word above; words that would stand in each other are left out, the list below has them. */
function pin(plot, marks, colour, font) {
  const { left, top, width, height } = plot.bbox;
  const ratio = globalThis.devicePixelRatio || 1;
  const context = plot.ctx;
  context.save();
  context.font = font.replace(/^\d+px/, `${11 * ratio}px`);
  [context.textAlign, context.textBaseline] = ["left", "alphabetic"];
  let free = left;
  for (const { at, text, tone } of marks) {
    const x = plot.valToPos(at / 1000, "x", true);
    if (x < left || x > left + width) continue;
    const ink = colour[tone] ?? colour.muted;
    dashed(context, ink, [x, top], [x, top + height]);
    const size = context.measureText(text).width;
    const begin = Math.min(x, left + width - size);
    if (begin < free) continue;
    context.fillStyle = ink;
    context.fillText(text, begin, top - 5 * ratio);
    free = begin + size + 8 * ratio;
  }
  context.restore();
}

function within(plot, drawing) {
  const { left, top, width, height } = plot.bbox;
  const context = plot.ctx;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  drawing({ context, top, height, x: (at) => plot.valToPos(at / 1000, "x", true), y: (value) => plot.valToPos(value, "y", true) });
  context.restore();
}

function fill(context, style, x, y, width, height) {
  context.fillStyle = style;
  context.fillRect(x, y, width, height);
}

function dashed(context, style, from, to) {
  context.save();
  context.strokeStyle = style;
  context.lineWidth = globalThis.devicePixelRatio || 1;
  context.setLineDash([4, 3]);
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
  context.restore();
}
