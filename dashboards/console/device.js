// One device: what it is, its series over a time range with what alarmed, and raw samples from its gateway on demand.
import { bandChart, loadCharts } from "./band.js";
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, duration, measured, moment, now, plural, whole } from "./format.js";
import { happenedTo, marksOf, renderHappened } from "./happened.js";
import { forgetRaw, watchRaw } from "./raw.js";
import { here, setRange } from "./route.js";
import { ask, token } from "./session.js";
import { DEVICE, named } from "./states.js";

const SPANS = [["15 min", 900_000], ["1 h", 3_600_000], ["6 h", 21_600_000], ["24 h", 86_400_000], ["7 d", 604_800_000]];
const WINDOWS = 10_000;
const LIVE_MS = 5000;

let shown = ""; // the device that is on the page
let range = null; // {from, to} that was asked for, or {span} up to now
let readAt = 0;
let running = null;
let known = nothing();
let last = null; // the store

function nothing() {
  return { facts: null, series: [], anomalies: [], incidents: [], changes: [] };
}

export function renderDevice(store) {
  last = store;
  const { names: [site, device], parameters } = here();
  if (!site || !device || !token()) return;
  if (shown !== `${site}/${device}`) begin(site, device, parameters);
  renderHappened(lines());
}

function begin(site, device, parameters) {
  forgetDevice();
  shown = `${site}/${device}`;
  const [from, to] = ["from", "to"].map((name) => Number(parameters.get(name)));
  range = from > 0 && to > from ? { from, to } : { span: Number(parameters.get("span")) || SPANS[1][1] };
  say(byId("device-title"), `${site} / ${device}`);
  document.title = `${device} · tidegate`;
  spanButtons();
  watchRaw(site, device, bounds);
  read();
}

export function forgetDevice() {
  running?.abort();
  forgetRaw();
  [shown, known] = ["", nothing()];
  for (const part of byId("charts").arranged?.values() ?? []) part.end();
  for (const id of ["charts", "device-facts", "happened"]) arrange(byId(id), [], () => "", () => null);
  for (const id of ["device-state", "device-title", "device-complaint"]) say(byId(id), "");
}

/** Once a second: a range that ends now moves on. */
export function tickDevice() {
  if (here().page !== "device" || !shown || range.to) return;
  if (performance.now() - readAt > LIVE_MS) read();
}

function bounds() {
  const to = range.to ?? Math.round(now());
  return [range.from ?? to - range.span, to];
}

function choose(next) {
  range = next;
  setRange(next);
  spanButtons();
  read();
}

function spanButtons() {
  const items = [...SPANS, ...(range.to ? [[`${moment(range.from)} – ${moment(range.to)}`, 0]] : [])];
  arrange(byId("spans"), items, ([, span]) => span, ([, span]) => {
    const node = el("button", { class: "quiet small", type: "button" });
    node.addEventListener("click", () => span && choose({ span }));
    return { node, update([words]) { say(node, words); mark(node, "aria-pressed", String(span === (range.span ?? 0))); } };
  });
}

async function read() {
  readAt = performance.now();
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const [site, device] = here().names;
  const [start, end] = bounds();
  const query = (more) => new URLSearchParams({ site, device, ...more });
  const get = async (path) => (await (await ask(path, signal)).json()).data;
  try {
    const [facts, series, anomalies, incidents, changes] = await Promise.all([
      factsOf(get, site, device),
      get(`/v1/series?${query({ start, end, limit: WINDOWS })}`),
      get(`/v1/anomalies?${query({ limit: 200 })}`),
      get(`/v1/incidents?${query({ limit: 50 })}`),
      get(`/v1/changes?${query({ limit: 100 })}`),
    ]);
    known = { facts, series: series.series, anomalies, incidents, changes };
    say(byId("device-complaint"), series.truncated ? "Older windows are left out: choose a shorter time range." : "");
    renderFacts(facts);
    await renderCharts(start, end, signal);
    renderHappened(lines());
  } catch (error) {
    if (error.name !== "AbortError") say(byId("device-complaint"), error.status === 404 ? "No such device is known." : `This could not be read: ${error.message}`);
  }
}

/** What is known of the device. A name with a slash does not fit into a path: it is looked for in the list. */
async function factsOf(get, site, device) {
  if (!`${site}${device}`.includes("/")) return get(`/v1/devices/${encodeURIComponent(site)}/${encodeURIComponent(device)}`);
  const found = await get(`/v1/devices?${new URLSearchParams({ site, q: device.slice(0, 200), limit: 1000 })}`);
  const fitting = found.find((one) => one.device === device);
  if (fitting) return fitting;
  throw Object.assign(new Error("no such device"), { status: 404 });
}

function renderFacts(device) {
  const words = named(DEVICE, device.state);
  say(byId("device-state"), words.label);
  mark(byId("device-state"), "data-tone", words.tone);
  const facts = [
    ["Firmware", device.previous_firmware ? `${device.firmware} (was ${device.previous_firmware})` : device.firmware],
    ["Hardware", device.hardware], ["Group", device.group], ["Gateway", device.gateway], ["Tags", device.tags.join(", ")],
    ["Last seen", ago(device.last_seen)], ["Last change", `${device.change.replaceAll("_", " ")}, ${ago(device.at)}`], ["Reboots", whole(device.reboots)],
    ["Clock", device.clock_ahead_ms === null || device.clock_ahead_ms === undefined ? "not known" : Math.abs(device.clock_ahead_ms) < 1000 ? "right" : `${duration(Math.abs(device.clock_ahead_ms))} ${device.clock_ahead_ms > 0 ? "ahead" : "behind"}`],
  ];
  arrange(byId("device-facts"), facts.filter(([, text]) => text), ([name]) => name, () => {
    const [label, value] = [el("dt"), el("dd")];
    return { node: el("div", {}, label, value), update([name, text]) { say(label, name); say(value, text); } };
  });
}

async function renderCharts(start, end, signal) {
  show(byId("no-charts"), known.series.length === 0);
  show(byId("charts-key"), known.series.length > 0);
  const uPlot = await loadCharts();
  if (signal.aborted) return;
  const marks = marksOf(lines());
  const charts = known.series.map((series) => ({ ...chartOf(series, beginning(start, end), end), marks }));
  arrange(byId("charts"), charts, (chart) => chart.key, () => bandChart(uPlot, (from, to) => choose({ from, to })));
}

/** Where the charts begin: a device that has just come is not drawn at the end of an empty hour, unless that was asked for. */
function beginning(start, end) {
  if (range.from || here().parameters.has("span")) return start;
  const first = Math.min(...known.series.map((series) => series.start[0] ?? end));
  return Math.max(start, first - (end - first) / 30);
}

function chartOf(series, start, end) {
  const labels = Object.entries(series.labels).map(([key, value]) => `${key} ${value}`).join(", ");
  const alarms = known.anomalies.filter((one) => one.metric === series.metric && one.at >= start && one.since <= end);
  const newest = series.mean.length ? measured(series.mean.at(-1)) : "–";
  return {
    key: `${series.metric} ${labels}`, title: series.metric.replaceAll("_", " "),
    note: [labels, `now ${newest}`, alarms.length ? plural(alarms.length, "alarm") : ""].filter(Boolean).join(" · "),
    times: series.start, mean: series.mean, min: series.min, max: series.max, range: [start, end],
    spans: alarms.map((one) => ({ from: one.since, to: one.status === "left" ? one.at : Math.min(now(), end), expected: one.expected, scale: one.scale })),
  };
}

/** Everything of the time range, in a list and as marks in the charts. */
function lines() {
  const [start, end] = bounds();
  const [site, device] = here().names;
  return last ? happenedTo({ site, device, known, store: last, start, end }) : [];
}
