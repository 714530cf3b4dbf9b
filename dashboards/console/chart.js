// The path of a rollout's e-value against the threshold that shuts the gate, on a logarithmic scale.
import { svg } from "./element.js";
import { clock, eValue } from "./format.js";

const HEIGHT = 190;
const MARGIN = { top: 14, right: 14, bottom: 24, left: 48 };
const LOWEST = -1.5;

/** A chart that draws itself anew whenever its points or its width change. */
export function evidenceChart() {
  const node = svg("svg", { class: "chart", role: "img", "aria-label": "not drawn yet" });
  let drawn = null;
  const draw = () => drawn && node.clientWidth > 0 && render(node, drawn, node.clientWidth);
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(node);
  return {
    node,
    update(points, threshold, alpha) {
      drawn = { points, threshold, alpha };
      draw();
    },
  };
}

function render(node, { points, threshold, alpha }, width) {
  const values = points.map((point) => Math.max(LOWEST, point.log10_e));
  const top = Math.max(threshold * 1.25, ...values.map((value) => value * 1.08), 0.5);
  const bottom = Math.min(0, ...values) - 0.12;
  const first = points.length ? points[0].at : 0;
  const last = Math.max(points.length ? points[points.length - 1].at : 0, first + 1000);
  const right = width - MARGIN.right;
  const x = (at) => MARGIN.left + ((at - first) / (last - first)) * (right - MARGIN.left);
  const y = (value) => MARGIN.top + ((top - value) / (top - bottom)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  node.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  node.setAttribute("height", HEIGHT);
  node.setAttribute("aria-label", describe(points, threshold));
  node.replaceChildren(
    svg("rect", { class: "shut", x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: Math.max(0, y(threshold) - MARGIN.top) }),
    ...grid(top, bottom, threshold, right, y),
    svg("line", { class: "limit", x1: MARGIN.left, x2: right, y1: y(threshold), y2: y(threshold) }),
    svg("text", { class: "limit-text", x: MARGIN.left + 8, y: y(threshold) - 7 }, `fails at 1/α = ${Number((1 / alpha).toPrecision(3))}`),
    ...path(points, values, x, y, threshold),
    ...times(first, last, x, points.length),
  );
}

function path(points, values, x, y, threshold) {
  if (!points.length) return [];
  const steps = points.map((point, index) => (index ? `H${x(point.at).toFixed(1)}V` : `M${x(point.at).toFixed(1)},`) + y(values[index]).toFixed(1)).join("");
  const end = points.length - 1;
  const [endX, endY] = [x(points[end].at), y(values[end])];
  const tone = values[end] >= threshold ? "bad" : "line";
  return [
    svg("path", { class: "area", d: `${steps}V${y(0).toFixed(1)}H${x(points[0].at).toFixed(1)}Z` }),
    svg("path", { class: "line", d: steps }),
    svg("circle", { class: "end", "data-tone": tone, cx: endX.toFixed(1), cy: endY.toFixed(1), r: 4 }),
  ];
}

function grid(top, bottom, threshold, right, y) {
  const step = Math.max(1, Math.ceil((top - bottom) / 4));
  const lines = [];
  for (let power = Math.ceil(bottom); power <= top; power += 1) {
    if (power % step) continue;
    lines.push(svg("line", { class: power === 0 ? "even" : "grid", x1: MARGIN.left, x2: right, y1: y(power), y2: y(power) }));
    lines.push(svg("text", { class: "tick", x: MARGIN.left - 8, y: y(power) + 4, "text-anchor": "end" }, label(power)));
  }
  return lines;
}

const label = (power) => (power >= 0 && power < 4 ? String(10 ** power) : eValue(power).replace("1.0 × ", ""));

function times(first, last, x, count) {
  if (count < 2) return [];
  const marks = [[first, "start"], [first + (last - first) / 2, "middle"], [last, "end"]];
  return marks.map(([at, anchor]) => svg("text", { class: "tick", x: x(at), y: HEIGHT - 6, "text-anchor": anchor }, clock(at)));
}

function describe(points, threshold) {
  if (!points.length) return "No evidence yet.";
  const end = points[points.length - 1];
  return `Evidence of harm since ${clock(points[0].at)}: the e-value is ${eValue(end.log10_e)}, the gate fails at ${eValue(threshold)}.`;
}
