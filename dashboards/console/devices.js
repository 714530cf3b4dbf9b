// Devices: counted by firmware and hardware, and a bounded list that the server searches.
import { stackedBar } from "./bar.js";
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, exact, plural, whole } from "./format.js";
import { ask } from "./session.js";
import { DEVICE, named } from "./states.js";

const PAGE = 25;
const LARGEST = 500;
const AGAIN_MS = 1500;
const TYPING_MS = 200;

let limit = PAGE;
let shown = [];
let timer = 0;
let running = null;

const FILTERS = { q: "search", site: "filter-site", state: "filter-state", firmware: "filter-firmware" };

export function watchDevices() {
  for (const state of Object.keys(DEVICE)) byId("filter-state").append(el("option", { value: state }, DEVICE[state].label));
  for (const id of Object.values(FILTERS)) byId(id).addEventListener("input", () => { limit = PAGE; soon(TYPING_MS); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("more-devices").addEventListener("click", () => { limit = Math.min(LARGEST, limit * 2); soon(0); });
}

/** Show only one site's devices. */
export function chooseSite(site) {
  byId("filter-site").value = site;
  limit = PAGE;
  soon(0);
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
  if (!timer) soon(AGAIN_MS);
}

export function renderRows() {
  arrange(byId("devices"), shown, (device) => `${device.site}/${device.device}`, row);
}

export function forgetDevices() {
  shown = [];
  clearTimeout(timer);
  timer = 0;
  running?.abort();
}

function soon(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(() => { timer = 0; read(); }, milliseconds);
}

async function read() {
  running?.abort();
  running = new AbortController();
  const parameters = new URLSearchParams({ limit });
  for (const [name, id] of Object.entries(FILTERS)) if (byId(id).value) parameters.set(name, byId(id).value);
  try {
    const answer = await ask(`/v1/devices?${parameters}`, running.signal);
    const page = await answer.json();
    shown = page.data;
    renderRows();
    const more = Boolean(page.next);
    show(byId("no-devices"), shown.length === 0);
    show(byId("more-devices"), more && limit < LARGEST);
    say(byId("device-count"), more ? `The first ${whole(shown.length)}; search to narrow it down` : plural(shown.length, "device"));
  } catch (error) {
    if (error.name !== "AbortError") say(byId("device-count"), `The list could not be read: ${error.message}`);
  }
}

function row() {
  const cells = Object.fromEntries(["device", "site", "state", "firmware", "hardware", "group", "reboots", "at"].map((name) => [name, el(name === "device" ? "th" : "td", name === "device" ? { scope: "row" } : { "data-label": name })]));
  cells.reboots.className = cells.at.className = "number";
  const chip = el("span", { class: "state" });
  cells.state.append(chip);
  const node = el("tr", {}, ...Object.values(cells));
  return {
    node,
    update(device) {
      const words = named(DEVICE, device.state);
      say(cells.device, device.device);
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
