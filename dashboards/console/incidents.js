// Incidents: what happened in a sentence, what the affected have in common, and where it began.
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, duration, exact, measured, moment, now, plural, power10, whole } from "./format.js";
import { deviceLink, here, linkTo } from "./route.js";
import { ask } from "./session.js";
import { INCIDENT, named } from "./states.js";

const PAST = 50;
const SHOWN = 20; // open ones beyond these are told without their series
const SERIES = 12;
const AGAIN_MS = 5000;
const ENDED = new Set(["resolved", "merged"]);
const HINTS = { chance: "How probable it is that so many or more of the affected share this by chance, corrected for everything that was looked at" };

/** Those that go on, the newest first. */
export function openIncidents(store) {
  return [...store.incidents.values()].filter((item) => !ENDED.has(item.state)).sort((a, b) => b.since - a.since);
}

export function renderIncidents(store) {
  const [linked] = here().names;
  const open = openIncidents(store);
  const past = [...store.incidents.values()].filter((item) => ENDED.has(item.state)).sort((a, b) => b.ended - a.ended);
  const asked = past.filter((item) => item.incident === linked);
  const first = [...open, ...asked].sort((a, b) => (b.incident === linked) - (a.incident === linked));
  arrange(byId("incidents"), first.slice(0, SHOWN), (item) => item.incident, () => card(true));
  show(byId("more-incidents"), first.length > SHOWN);
  say(byId("more-incidents"), `and ${whole(first.length - SHOWN)} more that go on`);
  show(byId("no-incidents"), open.length === 0);
  show(byId("past-incidents"), past.length > 0);
  say(byId("past-incidents").firstElementChild, `${plural(past.length, "incident")} that ended`);
  arrange(byId("past-incidents-list"), past.filter((item) => item.incident !== linked).slice(0, PAST), (item) => item.incident, () => card(false));
}

function card(isWhole) {
  const chip = el("span", { class: "chip" });
  const since = el("time", { class: "aside" });
  const title = el("h3");
  const link = el("a", { class: "permanent" }, "link");
  const explanation = el("p", { class: "explanation" });
  const numbers = el("dl", { class: "numbers four" });
  const causes = table(["In common", "Affected", "Fleet", "By chance"], [undefined, undefined, undefined, HINTS.chance]);
  const symptoms = table(["Symptom", "Devices", "First on", "Deviation"]);
  const series = seriesOf();
  const body = el("div", { class: "incident-body" }, causes.node, symptoms.node);
  const node = el("article", { class: "rollout incident" },
    el("header", {}, el("div", { class: "rollout-name" }, chip, since), link),
    title, explanation, numbers, body, isWhole ? series.node : null);
  return {
    node,
    update(item) {
      const words = named(INCIDENT, item.state);
      mark(node, "data-tone", words.tone);
      mark(chip, "data-tone", words.tone);
      say(chip, words.label);
      mark(since, "datetime", exact(item.since));
      say(since, item.ended ? `lasted ${duration(item.ended - item.since)}, ended ${ago(item.ended)}` : `for ${duration(now() - item.since)}`);
      mark(link, "href", linkTo("incidents", item.incident));
      mark(link, "aria-label", `Link to incident ${item.incident}`);
      say(title, item.summary);
      show(explanation, !item.cause_sentence || !item.summary.includes(item.cause_sentence));
      say(explanation, item.cause_sentence || "Nothing that the affected share explains it yet.");
      arrange(numbers, figures(item), (figure) => figure[0], figure);
      show(causes.node, item.cause.length > 0);
      causes.rows(item.cause, (share) => Object.values(share.attributes).join(), cause);
      symptoms.rows(item.symptoms, (symptom) => `${symptom.metric} ${symptom.above}`, () => symptom(item));
      if (isWhole) series.update(item);
    },
  };
}

/** The series that alarmed first: the stream leaves them out, they are read when an incident is looked at. */
function seriesOf() {
  const list = el("ul", { class: "series-list" });
  const more = el("p", { class: "aside" });
  const node = el("div", { hidden: true }, el("p", { class: "aside series-head" }, "Alarmed first"), list, more);
  let [shown, readAt] = [0, -Infinity];
  const draw = ({ affected: all, series }) => {
    arrange(list, all.slice(0, SERIES), (one) => `${whom(one)}/${one.metric}/${one.since}`, affected);
    show(node, all.length > 0);
    const left = series - Math.min(all.length, SERIES);
    show(more, left > 0);
    say(more, `and ${whole(left)} more series`);
  };
  return {
    node,
    update({ incident, number }) {
      if (shown === number || performance.now() - readAt < AGAIN_MS) return;
      readAt = performance.now();
      ask(`/v1/incidents/${encodeURIComponent(incident)}`)
        .then((answer) => answer.json())
        .then(({ data }) => { shown = data.number; draw(data); })
        .catch(() => {}); // what else is known of it stays; asked again with its next change
    },
  };
}

const figures = (item) => [
  ["Devices", whole(item.devices)], ["Sites", whole(item.sites)],
  ["Series", `${whole(item.active)} of ${whole(item.series)} alarm`], ["Began", moment(item.since)],
];

function figure() {
  const label = el("dt");
  const value = el("dd");
  return { node: el("div", {}, label, value), update([name, text]) { say(label, name); say(value, text); } };
}

function table(titles, hints = []) {
  const body = el("tbody");
  const head = titles.map((text, index) => el("th", { scope: "col", class: index ? "number" : undefined, title: hints[index] }, text));
  return {
    node: el("table", { class: "guards" }, el("thead", {}, el("tr", {}, ...head)), body),
    rows(items, key, make) { arrange(body, items, key, make); },
  };
}

function line(count) {
  const cells = [el("th", { scope: "row" }), ...Array.from({ length: count }, () => el("td", { class: "number" }))];
  return { node: el("tr", {}, ...cells), tell(...texts) { texts.forEach((text, index) => say(cells[index], text)); } };
}

function cause() {
  const { node, tell } = line(3);
  const share = (part, all) => (all ? `${Math.round((100 * part) / all)} %` : "–");
  return {
    node,
    update(item) {
      const name = Object.entries(item.attributes).map(([key, value]) => `${key} ${value}`).join(", ");
      tell(name, share(item.affected, item.of_affected), share(item.fleet, item.of_fleet), power10(item.log10_p));
      mark(node, "title", item.sentence);
    },
  };
}

function symptom(incident) {
  const { node, tell } = line(3);
  return {
    node,
    update(item) {
      const words = ["silence", "site_dark"].includes(item.metric) ? item.metric.replaceAll("_", " ") : `${item.metric} ${item.above ? "high" : "low"}`;
      tell(words, whole(item.devices), whole(item.first_on), item.deviation < 1e6 ? `${measured(item.deviation)} σ` : "–");
      mark(node, "class", item.metric === incident.root_cause ? "root" : "");
    },
  };
}

/** A device, or the kind of devices that have shifted together. */
const whom = (one) => [one.site, one.device].filter(Boolean).join(" / ") || `all ${[one.hardware, one.firmware].filter(Boolean).join(" ")}`;

function affected() {
  const name = el("a");
  const facts = el("span", { class: "aside" });
  return {
    node: el("li", {}, name, " ", facts),
    update(one) {
      mark(name, "href", one.device ? deviceLink(one.site, one.device, one.since) : linkTo(""));
      say(name, whom(one));
      say(facts, [one.metric.replaceAll("_", " "), one.scale ? `${measured(one.value)}, usually ${measured(one.expected)}` : "", moment(one.since)].filter(Boolean).join(" · "));
    },
  };
}
