// Alerts: what is firing first, with its numbers.
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, duration, exact, measured, now, plural, whole } from "./format.js";
import { ALERT, named } from "./states.js";

const SHOWN = 100;
const RESOLVED_SHOWN = 30;
const SEVERITIES = ["critical", "error", "warning", "info"];

export function renderAlerts(store) {
  const active = [];
  const resolved = [];
  for (const alert of store.alerts.values()) (alert.state === "resolved" ? resolved : active).push(alert);
  active.sort((a, b) => order(a) - order(b) || b.changed_at - a.changed_at);
  resolved.sort((a, b) => b.changed_at - a.changed_at);
  arrange(byId("alerts"), active.slice(0, SHOWN), (alert) => alert.fingerprint, entry);
  show(byId("no-alerts"), active.length === 0);
  show(byId("more-alerts"), active.length > SHOWN);
  say(byId("more-alerts"), `and ${whole(active.length - SHOWN)} more`);
  show(byId("resolved"), resolved.length > 0);
  say(byId("resolved").firstElementChild, `${plural(resolved.length, "alert")} resolved`);
  arrange(byId("resolved-list"), resolved.slice(0, RESOLVED_SHOWN), (alert) => alert.fingerprint, entry);
}

function order(alert) {
  const severity = SEVERITIES.indexOf(alert.severity);
  return (alert.state === "firing" ? 0 : 10) + (severity < 0 ? SEVERITIES.length : severity);
}

function entry() {
  const chip = el("span", { class: "chip" });
  const name = el("strong");
  const severity = el("span", { class: "aside" });
  const summary = el("p", { class: "summary" });
  const place = el("span", { class: "place" });
  const numbers = el("span", { class: "pairs" });
  const since = el("time", { class: "aside" });
  const node = el("li", { class: "alert" }, el("div", { class: "alert-head" }, chip, name, severity, el("span", { class: "spring" }), since), summary, el("div", { class: "alert-facts" }, place, numbers));
  return {
    node,
    update(alert) {
      const words = named(ALERT, alert.state);
      mark(node, "data-tone", words.tone);
      mark(chip, "data-tone", words.tone);
      say(chip, words.label);
      say(name, alert.name);
      say(severity, alert.severity);
      say(summary, alert.annotations.summary ?? alert.annotations.description ?? alert.reason);
      say(place, [alert.labels.site, alert.labels.device, alert.labels.metric, alert.labels.rollout].filter(Boolean).join(" / "));
      arrange(numbers, Object.entries(alert.numbers).slice(0, 8), ([label]) => label, pair);
      const began = alert.starts_at || alert.pending_since;
      mark(since, "datetime", exact(began));
      mark(since, "title", exact(began));
      say(since, alert.state === "resolved" ? `lasted ${duration(alert.ends_at - began)}, ended ${ago(alert.ends_at)}` : `for ${duration(now() - began)}`);
    },
  };
}

function pair() {
  const label = el("span");
  const value = el("b");
  return {
    node: el("span", { class: "pair" }, label, " ", value),
    update([name, number]) {
      say(label, name.replaceAll("_", " "));
      say(value, measured(number));
    },
  };
}

/** How many are in which state. */
export function alertsInNumbers(store) {
  const counts = { firing: 0, pending: 0, critical: 0 };
  for (const alert of store.alerts.values()) {
    if (alert.state in counts) counts[alert.state] += 1;
    if (alert.state === "firing" && alert.severity === "critical") counts.critical += 1;
  }
  return counts;
}
