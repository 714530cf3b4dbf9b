// Devices: counted by firmware and hardware, and a list of any length that is read and drawn only where it is looked at.
import { stackedBar } from "./bar.js";
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, exact, plural, whole } from "./format.js";
import { deviceLink } from "./route.js";
import { ask } from "./session.js";
import { DEVICE, named } from "./states.js";

const PAGE = 200;
const AGAIN_MS = 1500;
const TYPING_MS = 200;
const BEYOND = 8; // rows that are drawn above and below what is seen

let pages = []; // [{cursor, rows, next}], without gaps from the first on
let timer = 0;
let running = null;

const FILTERS = { q: "search", site: "filter-site", state: "filter-state", firmware: "filter-firmware" };

export function watchDevices() {
  for (const state of Object.keys(DEVICE)) byId("filter-state").append(el("option", { value: state }, DEVICE[state].label));
  for (const id of Object.values(FILTERS)) byId(id).addEventListener("input", startAnew);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("rows-frame").addEventListener("scroll", () => requestAnimationFrame(renderRows), { passive: true });
}

function startAnew() {
  byId("rows-frame").scrollTop = 0;
  pages = pages.slice(0, 1);
  soon(TYPING_MS);
}

/** Show only one site's devices. */
export function chooseSite(site) {
  byId("filter-site").value = site;
  startAnew();
  byId("devices-title").scrollIntoView({ block: "start" });
  byId("filter-site").focus({ preventScroll: true });
}

/** The fleet changed: count anew at once, read the list anew soon. */
export function renderFleet(store) {
  const fleet = store.fleet;
  if (!fleet) return;
  const kinds = [["Firmware", fleet.firmware], ["Hardware", fleet.hardware], ["Group", fleet.group]];
  arrange(byId("breakdowns"), kinds.filter(([, values]) => values.length), ([title]) => title, breakdown);
  options("filter-firmware", fleet.firmware.map((item) => item.value).filter(Boolean));
  options("filter-site", [...store.sites.keys()].sort());
  if (!timer && !(running && !pages.length)) soon(pages.length ? AGAIN_MS : 0);
}

/** Draw the rows that are seen; the others are room above and below. */
export function renderRows() {
  const frame = byId("rows-frame");
  const height = byId("devices").firstElementChild?.offsetHeight || 38;
  const known = pages.reduce((sum, page) => sum + page.rows.length, 0);
  const first = Math.max(0, Math.min(Math.floor(frame.scrollTop / height) - BEYOND, known - 1));
  const last = Math.min(known, first + Math.ceil((frame.clientHeight || 600) / height) + 2 * BEYOND);
  byId("gap-above").style.height = `${first * height}px`;
  byId("gap-below").style.height = `${(known - last) * height}px`;
  arrange(byId("devices"), between(first, last), (device) => `${device.site}/${device.device}`, row);
  if (last > known - PAGE / 2 && pages.at(-1)?.next && !running && !timer) soon(0);
}

function between(first, last) {
  const rows = [];
  let start = 0;
  for (const page of pages) {
    if (start < last && start + page.rows.length > first) rows.push(...page.rows.slice(Math.max(0, first - start), last - start));
    start += page.rows.length;
  }
  return rows;
}

export function forgetDevices() {
  pages = [];
  clearTimeout(timer);
  timer = 0;
  running?.abort();
  running = null;
}

function soon(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(() => { timer = 0; read(); }, milliseconds);
}

/** Read anew what is looked at, and the page behind the last one when its end is near. */
async function read() {
  running?.abort();
  const mine = running = new AbortController();
  try {
    const from = pageAt(byId("rows-frame").scrollTop);
    for (let index = from; index <= Math.min(from + 1, pages.length); index += 1) {
      const cursor = index ? pages[index - 1].next : "";
      if (index && !cursor) break;
      const page = await readPage(cursor, mine.signal);
      const isSame = pages[index]?.next === page.next;
      pages = [...pages.slice(0, index), page, ...(isSame ? pages.slice(index + 1) : [])];
    }
    running = null;
    counted();
    renderRows();
  } catch (error) {
    if (error.name === "AbortError") return;
    running = null;
    say(byId("device-count"), `The list could not be read: ${error.message}`);
  }
}

function pageAt(scrollTop) {
  let left = scrollTop / (byId("devices").firstElementChild?.offsetHeight || 38);
  const index = pages.findIndex((page) => (left -= page.rows.length) < 0);
  return Math.max(0, index);
}

async function readPage(cursor, signal) {
  const parameters = new URLSearchParams({ limit: PAGE });
  for (const [name, id] of Object.entries(FILTERS)) if (byId(id).value) parameters.set(name, byId(id).value);
  if (cursor) parameters.set("cursor", cursor);
  const { data, next } = await (await ask(`/v1/devices?${parameters}`, signal)).json();
  return { rows: data, next };
}

function counted() {
  const known = pages.reduce((sum, page) => sum + page.rows.length, 0);
  show(byId("no-devices"), known === 0);
  show(byId("rows-frame"), known > 0);
  say(byId("device-count"), pages.at(-1)?.next ? `${whole(known)} read so far; more as you scroll` : plural(known, "device"));
}

function row() {
  const cells = Object.fromEntries(["device", "site", "state", "firmware", "hardware", "group", "reboots", "at"].map((name) => [name, el(name === "device" ? "th" : "td", name === "device" ? { scope: "row" } : { "data-label": name })]));
  cells.reboots.className = cells.at.className = "number";
  const chip = el("span", { class: "state" });
  const name = el("a");
  cells.device.append(name);
  cells.state.append(chip);
  const node = el("tr", {}, ...Object.values(cells));
  return {
    node,
    update(device) {
      const words = named(DEVICE, device.state);
      say(name, device.device);
      mark(name, "href", deviceLink(device.site, device.device));
      say(cells.site, device.site);
      say(chip, words.label);
      mark(chip, "data-tone", words.tone);
      say(cells.firmware, device.firmware || "–");
      say(cells.hardware, device.hardware || "–");
      say(cells.group, device.group || "–");
      say(cells.reboots, whole(device.reboots));
      say(cells.at, ago(device.at));
      mark(cells.at, "title", `${device.change.replaceAll("_", " ")} ${exact(device.at)}`);
    },
  };
}

function breakdown() {
  const title = el("h3");
  const list = el("ul");
  return {
    node: el("div", { class: "breakdown" }, title, list),
    update([name, values]) {
      say(title, name);
      const most = Math.max(...values.map((item) => item.devices), 1);
      arrange(list, values.slice(0, 6), (item) => item.value, () => share());
      for (const item of values.slice(0, 6)) list.arranged.get(item.value).scale(item.devices / most);
    },
  };
}

function share() {
  const name = el("span", { class: "share-name" });
  const number = el("b");
  const bar = stackedBar({ legend: false });
  const node = el("li", {}, el("div", { class: "share-head" }, name, number), bar.node);
  return {
    node,
    scale(part) { bar.node.style.width = `${Math.max(2, part * 100).toFixed(1)}%`; },
    update(item) {
      say(name, item.value || "not said");
      say(number, whole(item.devices));
      const words = Object.keys(DEVICE).filter((state) => item.states[state]).map((state) => `${whole(item.states[state])} ${DEVICE[state].label}`);
      mark(node, "title", words.join(", "));
      bar.update(Object.entries(DEVICE).map(([key, { label, tone }]) => ({ key, label, tone, value: item.states[key] ?? 0 })));
    },
  };
}

function options(id, values) {
  const select = byId(id);
  const known = [...select.options].slice(1).map((option) => option.value);
  if (known.length === values.length && known.every((value, index) => value === values[index])) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...values.map((value) => el("option", { value }, value)));
  select.value = values.includes(chosen) ? chosen : "";
}
