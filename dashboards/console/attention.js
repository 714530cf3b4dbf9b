// What somebody should look at now, the gravest first, one line each with a link to the page that explains it.
import { arrange, byId, el, mark, say, show } from "./element.js";
import { duration, exact, now } from "./format.js";
import { openIncidents } from "./incidents.js";
import { linkTo } from "./route.js";

const SHOWN = 6;

export function renderAttention(store) {
  const lines = [...failed(store), ...incidents(store), ...critical(store)].slice(0, SHOWN);
  arrange(byId("attention"), lines, (line) => line.link, entry);
  show(byId("no-attention"), lines.length === 0);
}

function failed(store) {
  return [...store.rollouts.values()]
    .filter((item) => item.verdict?.verdict === "fail" && (item.state !== "ended" || item.rollback))
    .sort((a, b) => b.verdict.at - a.verdict.at)
    .map((item) => ({ link: linkTo("rollouts", item.rollout), kind: "Rollout failed", tone: "bad", name: item.rollout, text: item.verdict.reason, at: item.verdict.since ?? item.verdict.at }));
}

function incidents(store) {
  return openIncidents(store).map((item) => ({ link: linkTo("incidents", item.incident), kind: "Incident", tone: "warn", name: item.summary, text: "", at: item.since }));
}

function critical(store) {
  return [...store.alerts.values()]
    .filter((alert) => alert.state === "firing" && alert.severity === "critical")
    .sort((a, b) => b.starts_at - a.starts_at)
    .map((alert) => ({ link: linkTo("alerts", alert.fingerprint), kind: "Alert", tone: "bad", name: alert.name, text: alert.annotations.summary ?? alert.reason, at: alert.starts_at }));
}

function entry() {
  const chip = el("span", { class: "chip" });
  const name = el("a");
  const text = el("span", { class: "aside" });
  const since = el("time", { class: "aside since" });
  const node = el("li", { class: "look" }, chip, el("span", { class: "look-words" }, name, " ", text), since);
  return {
    node,
    update(line) {
      mark(chip, "data-tone", line.tone);
      say(chip, line.kind);
      mark(name, "href", line.link);
      say(name, line.name);
      say(text, line.text);
      mark(since, "datetime", exact(line.at));
      say(since, `for ${duration(now() - line.at)}`);
    },
  };
}
