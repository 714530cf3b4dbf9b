// Rollouts: verdict, the e-value's path, cohorts, guards, and how far a rollback has come.
import { stackedBar } from "./bar.js";
import { evidenceChart } from "./chart.js";
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, byName, eValue, exact, moment, plural, whole } from "./format.js";
import { here } from "./route.js";
import { ask } from "./session.js";
import { named, VERDICT } from "./states.js";

const OPEN = 3; // how many rollouts are shown whole
const POINTS = 1000;
const HINTS = [
  "Of each device only its first event counts",
  "Devices that were given the release",
  "Devices that were not",
  "E-value against harmlessness: how much better than even a bet on harm has done",
  "E-value for harm within the margin: every guard has to reach the threshold for a pass",
];
const opened = new Set();

/** Show all rollouts: the newest whole, the others in a list to open. */
export function renderRollouts(store) {
  const [linked] = here().names;
  const all = [...store.rollouts.values()].sort((a, b) => (b.rollout === linked) - (a.rollout === linked) || rank(a) - rank(b) || b.created - a.created || byName(a.rollout, b.rollout));
  // One that has ended is shown whole only when asked for, or when there is nothing else to look at.
  const isOpen = (item, index) => index === 0 || (index < OPEN && item.state !== "ended") || item.rollout === linked || opened.has(item.rollout);
  arrange(byId("rollouts"), all.filter(isOpen), (item) => item.rollout, card);
  const older = all.filter((item, index) => !isOpen(item, index));
  show(byId("older"), older.length > 0);
  say(byId("older").firstElementChild, plural(older.length, "more rollout"));
  arrange(byId("older-list"), older.slice(0, 200), (item) => item.rollout, (item) => row(item, store));
  show(byId("no-rollouts"), all.length === 0);
}

/** What needs a look comes first: failed and running, then running, then ended. */
function rank(item) {
  if (item.state === "ended") return 2;
  return item.verdict?.verdict === "fail" ? 0 : 1;
}

function row(item, store) {
  const name = el("button", { class: "plain", type: "button" });
  const verdict = chip();
  const node = el("li", {}, name, verdict.node);
  name.addEventListener("click", () => {
    opened.add(item.rollout);
    renderRollouts(store);
  });
  return {
    node,
    update(next) {
      say(name, next.rollout);
      verdict.update(named(VERDICT, next.verdict?.verdict ?? "inconclusive"));
    },
  };
}

function chip() {
  const node = el("span", { class: "chip" });
  return { node, update({ label, tone }) { say(node, label); mark(node, "data-tone", tone); } };
}

function card(first) {
  const title = el("h3");
  const versions = el("span", { class: "versions" });
  const verdict = chip();
  const state = el("span", { class: "aside" });
  const reason = el("p", { class: "reason" });
  const people = el("p", { class: "aside people" });
  const chart = evidenceChart();
  const numbers = el("dl", { class: "numbers" });
  const guards = el("tbody");
  const guardTable = el("table", { class: "guards" },
    el("thead", {}, el("tr", {}, ...["First events", "Canary", "Control", "Harm", "Safety"].map((text, index) => el("th", { scope: "col", class: index ? "number" : undefined, title: HINTS[index] }, text)))),
    guards);
  const rollback = rollbackPart();
  const node = el("article", { class: "rollout" },
    el("header", {}, el("div", { class: "rollout-name" }, title, versions), el("div", { class: "rollout-state" }, verdict.node, state)),
    reason, people,
    el("div", { class: "rollout-body" }, el("figure", {}, el("figcaption", {}, "Evidence of harm (e-value)"), chart.node), el("div", {}, numbers, guardTable)),
    rollback.node);
  const path = evidencePath(first.rollout, () => draw());
  let current = first;
  const draw = () => chart.update(path.points, current.verdict?.threshold ?? -Math.log10(current.alpha || 0.05), current.alpha || 0.05);
  return {
    node,
    update(item) {
      current = item;
      const words = named(VERDICT, item.verdict?.verdict ?? "inconclusive");
      mark(node, "data-tone", words.tone);
      say(title, item.rollout);
      say(versions, item.release ? `${item.previous_release} → ${item.release}` : "");
      verdict.update(words);
      say(state, item.state === "running" ? words.means : item.state);
      say(reason, item.verdict?.reason ?? "Waiting for the first evidence.");
      say(people, byPeople(item));
      arrange(numbers, figures(item), (figure) => figure.key, figure);
      show(guardTable, Boolean(item.verdict?.guards.length));
      arrange(guards, item.verdict?.guards ?? [], (guard) => guard.name, () => guardRow(() => current.verdict.threshold));
      rollback.update(item.rollback);
      path.add(item.verdict);
      draw();
    },
  };
}

/** What people have done about it: who began it, and who asked for what. */
function byPeople({ created_by: maker, verdict }) {
  const decided = verdict?.forced ? `decided by people (${verdict.forced})` : "";
  return [maker && `begun by ${maker}`, decided, ...(verdict?.people ?? [])].filter(Boolean).join(" · ");
}

function figures(item) {
  const verdict = item.verdict;
  return [
    { key: "canary", label: "Canary", value: plural(verdict?.n_canary ?? 0, "device") },
    { key: "control", label: "Control", value: plural(verdict?.n_control ?? 0, "device") },
    { key: "e", label: "E-value", value: verdict ? eValue(verdict.log10_e) : "–" },
    { key: "alpha", label: "Error rate α", value: String(item.alpha) },
    { key: "mode", label: "On fail", value: item.mode === "automatic" ? "roll back" : "observe" },
    { key: "at", label: "Judged", value: verdict ? moment(verdict.at) : "–", title: exact(verdict?.at) },
  ];
}

function figure() {
  const label = el("dt");
  const value = el("dd");
  return {
    node: el("div", {}, label, value),
    update(item) {
      say(label, item.label);
      say(value, item.value);
      if (item.title) mark(value, "title", item.title);
    },
  };
}

function guardRow(threshold) {
  const [name, canary, control] = [el("th", { scope: "row" }), el("td", { class: "number" }), el("td", { class: "number" })];
  const [harm, safety] = [evidence("bad", "wait"), evidence("ok", "ok")];
  const node = el("tr", {}, name, canary, control, harm.node, safety.node);
  return {
    node,
    update(guard) {
      say(name, guard.name);
      say(canary, whole(guard.events_canary));
      say(control, whole(guard.events_control));
      harm.update(guard.log10_e_harm, threshold());
      safety.update(guard.log10_e_safe, threshold());
    },
  };
}

/** An e-value with a gauge of how far it has come towards the threshold. */
function evidence(reached, before) {
  const number = el("span");
  const fill = el("span", { class: "gauge-fill" });
  const node = el("td", { class: "number", "data-part": before }, number, el("span", { class: "gauge", "aria-hidden": "true" }, fill));
  return {
    node,
    update(log10, threshold) {
      const share = Math.min(1, Math.max(0, log10 / threshold));
      say(number, eValue(log10));
      fill.style.width = `${(share * 100).toFixed(1)}%`;
      mark(node, "data-tone", share >= 1 ? reached : "wait");
    },
  };
}

function rollbackPart() {
  const title = el("strong");
  const since = el("span", { class: "aside" });
  const bar = stackedBar();
  const node = el("div", { class: "rollback", hidden: true }, el("p", {}, title, " ", since), bar.node);
  return {
    node,
    update(rollback) {
      show(node, Boolean(rollback));
      if (!rollback) return;
      const { commanded, done, recovered, unreachable, refused } = rollback.counts;
      const complete = rollback.phase === "complete";
      mark(node, "data-tone", complete ? "ok" : "wait");
      say(title, complete ? "Rollback complete" : "Rolling back");
      say(since, `${plural(commanded, "device")} commanded, decided ${ago(rollback.decided_at)}`);
      bar.update([
        { key: "recovered", label: "recovered", tone: "ok", value: recovered },
        { key: "done", label: "on the old version, recovering", tone: "part", value: Math.max(0, done - recovered) },
        { key: "refused", label: "refused", tone: "bad", value: refused },
        { key: "unreachable", label: "unreachable", tone: "warn", value: unreachable },
        { key: "waiting", label: "under way", tone: "idle", value: Math.max(0, commanded - Math.max(done, recovered) - unreachable - refused) },
      ]);
    },
  };
}

/** The path so far from the API, then a point with every verdict. */
function evidencePath(name, onChange) {
  const path = {
    points: [],
    add(verdict) {
      const last = path.points[path.points.length - 1];
      if (!verdict || (last && verdict.at < last.at)) return;
      if (last && verdict.at === last.at) path.points.pop();
      path.points.push({ at: verdict.at, log10_e: verdict.log10_e });
      if (path.points.length > POINTS) path.points = path.points.filter((_, index) => index % 2 === 0 || index === path.points.length - 1);
    },
  };
  ask(`/v1/rollouts/${encodeURIComponent(name)}`)
    .then((answer) => answer.json())
    .then(({ data }) => {
      const newest = path.points;
      path.points = data.path;
      newest.forEach((point) => path.add(point));
      onChange();
    })
    .catch(() => {}); // the path then begins with what the stream says
  return path;
}

/** For the figures at the top. */
export function rolloutsInNumbers(store) {
  const all = [...store.rollouts.values()];
  const running = all.filter((item) => item.state === "running");
  return { running: running.length, failed: running.filter((item) => item.verdict?.verdict === "fail").length, total: whole(all.length) };
}
