// Dark and light: what the system prefers, until somebody chooses.
import { byId, mark, say } from "./element.js";

const KEY = "tidegate.theme";
const ORDER = ["auto", "light", "dark"];
const WORDS = { auto: "Auto", light: "Light", dark: "Dark" };
const watchers = [];

/** Call when the colours have changed. */
export const onTheme = (watcher) => watchers.push(watcher);

export function watchTheme() {
  apply(localStorage.getItem(KEY) ?? "auto");
  byId("theme").addEventListener("click", nextTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => watchers.forEach((watcher) => watcher()));
}

export function nextTheme() {
  const next = ORDER[(ORDER.indexOf(document.documentElement.dataset.theme) + 1) % ORDER.length];
  localStorage.setItem(KEY, next);
  apply(next);
}

function apply(theme) {
  const known = ORDER.includes(theme) ? theme : "auto";
  document.documentElement.dataset.theme = known;
  say(byId("theme"), WORDS[known]);
  mark(byId("theme"), "aria-label", `Colours: ${WORDS[known]}. Change.`);
  watchers.forEach((watcher) => watcher());
}
