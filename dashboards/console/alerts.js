// Alerts: what is firing first, with its numbers.
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, duration, exact, now, plural, quantity, whole } from "./format.js";
import { ALERT, named } from "./states.js";

const SHOWN = 100;
const ALIKE = 4; // so many alerts of one name become one line to open
const RESOLVED_SHOWN = 30;
const SEVERITIES = ["critical", "error", "warning", "info"];

export function renderAlerts(store) {
  const active = [];
  const resolved = [];
  for (const alert of store.alerts.values()) (alert.state === "resolved" ? resolved : active).push(alert);
  active.sort((a, b) => order(a) - order(b) || b.changed_at - a.changed_at);
  resolved.sort((a, b) => b.changed_at - a.changed_at);
  const lines = grouped(active);
  arrange(byId("alerts"), lines.slice(0, SHOWN), (line) => line.key, (line) => (line.alerts.length > 1 ? group() : single()));
  show(byId("no-alerts"), active.length === 0);
  show(byId("more-alerts"), lines.length > SHOWN);
  say(byId("more-alerts"), `and ${whole(lines.length - SHOWN)} more`);
  show(byId("resolved"), resolved.length > 0);
  say(byId("resolved").firstElementChild, `${plural(resolved.length, "alert")} resolved`);
  arrange(byId("resolved-list"), resolved.slice(0, RESOLVED_SHOWN), (alert) => alert.fingerprint, entry);
}

/** Lines in the order of their gravest alert: one alert each, or all those of one name and state when they are many. */
function grouped(alerts) {
  const kinds = new Map();
  for (const alert of alerts) {
    const kind = `${alert.state} ${alert.name}`;
    if (!kinds.has(kind)) kinds.set(kind, []);
    kinds.get(kind).push(alert);
  }
  return [...kinds].flatMap(([kind, members]) =>
    members.length < ALIKE
      ? members.map((alert) => ({ key: alert.fingerprint, alerts: [alert] }))
      : [{ key: `group ${kind}`, alerts: members }]);
}

function single() {
  const part = entry();
  return { node: part.node, update: (line) => part.update(line.alerts[0]) };
}

function group() {
  const chip = el("span", { class: "chip" });
  const name = el("strong");
  const facts = el("span", { class: "aside" });
  const since = el("span", { class: "aside" });
  const list = el("ul", { class: "list members" });
  const more = el("p", { class: "nothing" });
  const details = el("details", {}, el("summary", {}, el("span", { class: "alert-head" }, chip, name, facts, el("span", { class: "spring" }), since)), list, more);
  const node = el("li", { class: "alert" }, details);
  let alerts = [];
  const draw = () => details.open && arrange(list, alerts.slice(0, SHOWN), (alert) => alert.fingerprint, entry);
  details.addEventListener("toggle", draw);
  return {
    node,
    update(line) {
      alerts = line.alerts;
      const words = named(ALERT, alerts[0].state);
      mark(chip, "data-tone", words.tone);
      say(chip, words.label);
      say(name, `${whole(alerts.length)} × ${alerts[0].name}`);
      const sites = new Set(alerts.map((alert) => alert.labels.site).filter(Boolean));
      say(facts, [alerts[0].severity, sites.size === 1 ? `at ${[...sites][0]}` : sites.size ? `at ${plural(sites.size, "site")}` : ""].filter(Boolean).join(" · "));
      say(since, `for ${duration(now() - Math.min(...alerts.map(began)))}`);
      show(more, alerts.length > SHOWN);
      say(more, `and ${whole(alerts.length - SHOWN)} more`);
      draw();
    },
  };
}

const began = (alert) => alert.starts_at || alert.pending_since;

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
      const start = began(alert);
      mark(since, "datetime", exact(start));
      mark(since, "title", exact(start));
      say(since, alert.state === "resolved" ? `lasted ${duration(alert.ends_at - start)}, ended ${ago(alert.ends_at)}` : `for ${duration(now() - start)}`);
    },
  };
}

function pair() {
  const label = el("span");
  const value = el("b");
  return {
    node: el("span", { class: "pair" }, label, " ", value),
    update([name, number]) {
      const [what, amount] = quantity(name, number);
      say(label, what);
      say(value, amount);
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
