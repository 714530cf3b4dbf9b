// Alerts: what is firing first, with its numbers.
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, duration, exact, moment, now, plural, quantity, whole } from "./format.js";
import { deviceLink, here } from "./route.js";
import { send } from "./session.js";
import { askToSilence } from "./silence.js";
import { ALERT, named } from "./states.js";

const SHOWN = 100;
const ALIKE = 4; // so many alerts of one name become one line to open
const RESOLVED_SHOWN = 30;
const SEVERITIES = ["critical", "error", "warning", "info"];
const STATES = ["firing", "stale", "acknowledged", "suppressed", "pending"];
const NUMBERS = 6;
const INNER = new Set(["scale", "score"]); // of a detector; `low` and `high` say it in the metric's own terms

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
    members.length < ALIKE || members.some((alert) => alert.fingerprint === here().names[0])
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
  const linked = here().names[0] === alert.fingerprint ? -100 : 0; // what a link names comes first
  return linked + STATES.indexOf(alert.state) * 10 + (severity < 0 ? SEVERITIES.length : severity);
}

function entry() {
  const chip = el("span", { class: "chip" });
  const name = el("strong");
  const severity = el("span", { class: "aside" });
  const summary = el("p", { class: "summary" });
  const place = el("a", { class: "place" });
  const by = el("span");
  const actions = actionsOf();
  const numbers = el("span", { class: "pairs" });
  const since = el("time", { class: "aside" });
  const node = el("li", { class: "alert" }, el("div", { class: "alert-head" }, chip, name, severity, el("span", { class: "spring" }), since), summary, el("div", { class: "alert-facts" }, place, by, numbers, el("span", { class: "spring" }), actions.node));
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
      if (alert.labels.site && alert.labels.device) mark(place, "href", deviceLink(alert.labels.site, alert.labels.device, began(alert)));
      else place.removeAttribute("href");
      say(by, alert.by ? `by ${alert.by}` : "");
      actions.update(alert);
      arrange(numbers, Object.entries(alert.numbers).filter(([label]) => !INNER.has(label)).slice(0, NUMBERS), ([label]) => label, pair);
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

/** What somebody can do about an alert that fires: look after it, silence it, read what to do. */
function actionsOf() {
  let current = null;
  const acknowledge = button(() => send(`/v1/alerts/${encodeURIComponent(current.fingerprint)}/acknowledge`, { withdrawn: current.state === "acknowledged" }));
  const silence = button(() => askToSilence(current));
  const runbook = el("a", { rel: "noreferrer" }, "Runbook");
  const node = el("span", { class: "actions" }, runbook, acknowledge, silence);
  return {
    node,
    update(alert) {
      current = alert;
      const link = alert.annotations.runbook_url ?? alert.annotations.runbook ?? "";
      show(runbook, /^https?:\/\//.test(link));
      mark(runbook, "href", /^https?:\/\//.test(link) ? link : "#/");
      show(acknowledge, ["firing", "stale", "acknowledged"].includes(alert.state));
      say(acknowledge, alert.state === "acknowledged" ? "Hand back" : "Acknowledge");
      show(silence, ["firing", "stale", "acknowledged"].includes(alert.state));
      say(silence, "Silence…");
    },
  };
}

function button(act) {
  const node = el("button", { class: "quiet small", type: "button" });
  node.addEventListener("click", async () => {
    node.disabled = true;
    say(byId("alert-complaint"), "");
    try {
      await act();
    } catch (error) {
      say(byId("alert-complaint"), error.status === 403 ? `This token may not do that: ${error.message}` : error.message);
    }
    node.disabled = false;
  });
  return node;
}

/** Silences that hold or will, with a way to end them. */
export function renderSilences(store) {
  const known = [...store.silences.values()].filter((one) => one.ends_at > now()).sort((a, b) => a.ends_at - b.ends_at);
  arrange(byId("silences"), known, (one) => one.id, silenceEntry);
  show(byId("no-silences"), known.length === 0);
}

function silenceEntry(first) {
  const chip = el("span", { class: "chip", "data-tone": "idle" });
  const what = el("strong");
  const facts = el("span", { class: "aside" });
  const end = button(() => send(`/v1/silences/${encodeURIComponent(first.id)}/end`, {}));
  say(end, "End");
  return {
    node: el("li", { class: "alert" }, el("div", { class: "alert-head" }, chip, what, facts, el("span", { class: "spring" }), end)),
    update(one) {
      say(chip, one.starts_at > now() ? "to come" : one.kind.replaceAll("_", " "));
      say(what, matched(one));
      say(facts, [`until ${moment(one.ends_at)}`, `by ${one.by}`, one.comment].filter(Boolean).join(" · "));
    },
  };
}

/** Windows by a local clock that are open or will be, with a way to end them. */
export function renderMaintenance(store) {
  const known = [...store.maintenance.values()].filter((one) => one.closes_at > 0).sort((a, b) => a.opens_at - b.opens_at);
  arrange(byId("maintenance"), known, (one) => one.id, windowEntry);
  show(byId("no-maintenance"), known.length === 0);
}

function windowEntry(first) {
  const chip = el("span", { class: "chip", "data-tone": "idle" });
  const what = el("strong");
  const facts = el("span", { class: "aside" });
  const end = button(() => send(`/v1/maintenance/${encodeURIComponent(first.id)}/end`, {}));
  say(end, "End");
  return {
    node: el("li", { class: "alert" }, el("div", { class: "alert-head" }, chip, what, facts, el("span", { class: "spring" }), end)),
    update(one) {
      const { begins, lasts_s, timezone, days, date } = one.hours;
      const next = one.opens_at > now() ? `next ${moment(one.opens_at)}` : one.closes_at > now() ? `until ${moment(one.closes_at)}` : "";
      say(chip, one.opens_at <= now() && now() < one.closes_at ? "open" : "to come");
      say(what, matched(one));
      say(facts, [`${date || (days.length === 7 ? "daily" : days.join(", "))} at ${begins} ${timezone} for ${duration(lasts_s * 1000)}`, next, `by ${one.by}`, one.comment].filter(Boolean).join(" · "));
    },
  };
}

const matched = (one) => one.matchers.map((matcher) => `${matcher.label} ${matcher.unlike ? "unlike" : "="} ${matcher.pattern}`).join(", ");

/** How many are in which state. */
export function alertsInNumbers(store) {
  const counts = { firing: 0, pending: 0, critical: 0 };
  for (const alert of store.alerts.values()) {
    if (alert.state in counts) counts[alert.state] += 1;
    if (alert.state === "firing" && alert.severity === "critical") counts.critical += 1;
  }
  return counts;
}
