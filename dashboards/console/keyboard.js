// Shortcuts: `g` and a letter goes to a page, `/` searches, `t` changes the colours, `?` says all this.
import { byId, el } from "./element.js";
import { linkTo } from "./route.js";
import { nextTheme } from "./theme.js";

const PAGES = { f: ["", "Fleet"], i: ["incidents", "Incidents"], a: ["alerts", "Alerts"], r: ["rollouts", "Rollouts"], p: ["pipeline", "Pipeline"] };
const PATIENCE_MS = 1500;

let began = 0; // when `g` was pressed

export function watchKeys() {
  const lines = [...Object.entries(PAGES).map(([key, [, name]]) => [`g ${key}`, name]), ["/", "Search devices"], ["t", "Auto, light, dark"], ["?", "This list"]];
  for (const [keys, what] of lines) byId("shortcuts").append(el("div", {}, el("dt", {}, ...keys.split(" ").map((key) => el("kbd", {}, key))), el("dd", {}, what)));
  byId("keys").addEventListener("click", () => byId("help").showModal());
  addEventListener("keydown", onKey);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("board").hidden || byId("help").open) return;
  if (event.target.closest("input, select, textarea")) return;
  const follows = event.timeStamp - began < PATIENCE_MS;
  began = 0;
  if (follows && event.key in PAGES) location.hash = linkTo(PAGES[event.key][0]);
  else if (event.key === "g") began = event.timeStamp;
  else if (event.key === "t") nextTheme();
  else if (event.key === "?") byId("help").showModal();
  else if (event.key === "/") search();
  else return;
  event.preventDefault();
}

function search() {
  if (location.hash.replace(/^#\/?/, "")) location.hash = "#/";
  requestAnimationFrame(() => requestAnimationFrame(() => byId("search").focus()));
}
