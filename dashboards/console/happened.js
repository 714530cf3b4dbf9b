// What happened to one device and around it: lines of a list, and marks in its charts.
import { arrange, byId, el, mark, say, show } from "./element.js";
import { exact, measured, moment, plural } from "./format.js";
import { linkTo } from "./route.js";
import { ALERT, CHANGE, INCIDENT, named, VERDICT } from "./states.js";

const LINES = 60;

/** Lines of {key, at, words: {label, tone}, name, text, link} within [start - a minute, end], the newest first. */
export function happenedTo({ site, device, known, store, start, end }) {
  const lines = [...changes(known), ...rollouts(known, store), ...alerts(store, site, device), ...incidents(known, store), ...anomalies(known)];
  return lines.filter((line) => line.at >= start - 60_000 && line.at <= end).sort((a, b) => b.at - a.at);
}

/** What is marked in a chart: the lines that say so with a short word. */
export const marksOf = (lines) => lines.filter((line) => line.mark).map(({ at, mark: text, words }) => ({ at, text, tone: words.tone })).reverse();

export function renderHappened(lines) {
  arrange(byId("happened"), lines.slice(0, LINES), (line) => line.key, happening);
  show(byId("no-happened"), lines.length === 0);
}

function changes({ changes: all }) {
  return all.map((one) => {
    const words = named(CHANGE, one.change);
    const isInstall = one.change === "installed";
    const text = isInstall ? `${one.previous_firmware || "?"} → ${one.firmware}` : one.change === "rebooted" ? `${plural(one.reboots, "reboot")} in all` : "";
    const name = isInstall ? "Firmware" : words.name;
    return { key: `change ${one.at} ${one.change}`, at: one.at, words, name, text, mark: isInstall ? one.firmware : words.mark };
  });
}

/** Rollouts of a firmware that the device has or had: when they began, were judged and rolled back. */
function rollouts({ changes: all, facts }, store) {
  const versions = new Set([facts, ...all].filter(Boolean).flatMap((one) => [one.firmware, one.previous_firmware]).filter(Boolean));
  return [...store.rollouts.values()].filter((item) => versions.has(item.release)).flatMap((item) => {
    const line = (what, at, words, text, short) => ({ key: `${what} ${item.rollout}`, at, words, name: item.rollout, text, link: linkTo("rollouts", item.rollout), mark: short });
    const verdict = item.verdict && item.verdict.verdict !== "inconclusive" ? item.verdict : null;
    const judged = verdict && named(VERDICT, verdict.verdict);
    return [
      line("began", item.created, { label: "rollout", tone: "wait" }, `${item.previous_release} → ${item.release} began`, "rollout"),
      ...(verdict ? [line("judged", verdict.since, judged, verdict.reason, `gate: ${judged.label.toLowerCase()}`)] : []),
      ...(item.rollback ? [line("back", item.rollback.decided_at, { label: "rollback", tone: "wait" }, `back to ${item.previous_release}`, "rollback")] : []),
    ];
  });
}

function alerts(store, site, device) {
  return [...store.alerts.values()].filter(({ labels }) => labels.site === site && labels.device === device).map((alert) => (
    { key: alert.fingerprint, at: alert.starts_at || alert.pending_since, words: named(ALERT, alert.state), name: alert.name, text: alert.annotations.summary ?? alert.reason, link: linkTo("alerts", alert.fingerprint), mark: alert.name }));
}

/** The stream knows the newest state of those that the API named. */
function incidents({ incidents: those }, store) {
  return those.map((item) => store.incidents.get(item.incident) ?? item).map((item) => (
    { key: item.incident, at: item.since, words: named(INCIDENT, item.state), name: "Incident", text: item.summary, link: linkTo("incidents", item.incident) }));
}

function anomalies({ anomalies: all }) {
  return all.map((one) => (
    { key: `${one.metric} ${one.since} ${one.detector}`, at: one.since, words: { label: "alarm", tone: "warn" }, name: one.metric.replaceAll("_", " "), text: `${measured(one.value)}, usually ${measured(one.expected)} (${one.detector})` }));
}

function happening() {
  const chip = el("span", { class: "chip" });
  const name = el("a");
  const text = el("span", { class: "aside" });
  const since = el("time", { class: "aside since" });
  return {
    node: el("li", { class: "look" }, chip, el("span", { class: "look-words" }, name, " ", text), since),
    update(one) {
      mark(chip, "data-tone", one.words.tone);
      say(chip, one.words.label);
      if (one.link) mark(name, "href", one.link);
      say(name, one.name);
      say(text, one.text);
      mark(since, "datetime", exact(one.at));
      say(since, moment(one.at));
    },
  };
}
