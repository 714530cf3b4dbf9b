// The first glance: four figures, each with a sentence; and the ledger at the end.
import { alertsInNumbers } from "./alerts.js";
import { arrange, byId, el, mark, say } from "./element.js";
import { plural, whole } from "./format.js";
import { rolloutsInNumbers } from "./rollouts.js";
import { sitesInNumbers } from "./sites.js";

export function renderFigures(store) {
  arrange(byId("figures"), store.tenant ? [devices(store), sites(store), alerts(store), rollouts(store)] : [], (item) => item.key, figure);
}

function figure() {
  const value = el("span", { class: "value" });
  const of = el("span", { class: "of" });
  const label = el("span", { class: "label" });
  const note = el("span", { class: "note" });
  const node = el("div", { class: "figure" }, label, el("span", { class: "amount" }, value, of), note);
  return {
    node,
    update(item) {
      mark(node, "data-tone", item.tone);
      say(label, item.label);
      say(value, item.value);
      say(of, item.of ?? "");
      say(note, item.note);
    },
  };
}

function devices({ fleet }) {
  const online = fleet?.states.online ?? 0;
  const [silent, lost] = [fleet?.states.silent ?? 0, fleet?.states.lost ?? 0];
  const away = [silent && `${whole(silent)} silent`, lost && `${whole(lost)} lost`].filter(Boolean).join(", ");
  return { key: "devices", label: "Devices online", value: whole(online), of: ` of ${whole(fleet?.devices ?? 0)}`, note: away || "all report", tone: silent ? "bad" : lost ? "warn" : "ok" };
}

function sites(store) {
  const { total, live, dark } = sitesInNumbers(store);
  const note = dark.length ? `dark: ${dark.slice(0, 3).join(", ")}${dark.length > 3 ? ` and ${dark.length - 3} more` : ""}` : live === total ? "all heard" : `${plural(total - live, "site")} not up to date`;
  return { key: "sites", label: "Sites live", value: whole(live), of: ` of ${whole(total)}`, note, tone: dark.length ? "bad" : live === total ? "ok" : "warn" };
}

function alerts(store) {
  const { firing, pending, critical } = alertsInNumbers(store);
  const note = [critical && `${whole(critical)} critical`, pending && `${whole(pending)} pending`].filter(Boolean).join(", ");
  return { key: "alerts", label: "Alerts firing", value: whole(firing), note: note || (firing ? "none critical" : "all quiet"), tone: critical ? "bad" : firing || pending ? "warn" : "ok" };
}

function rollouts(store) {
  const { running, failed, total } = rolloutsInNumbers(store);
  return { key: "rollouts", label: "Rollouts running", value: whole(running), note: failed ? `${whole(failed)} failed its gate` : `${total} in all`, tone: failed ? "bad" : "ok" };
}

export function renderLedger({ ledger }) {
  const node = byId("ledger");
  if (!ledger) return;
  const terms = [
    { key: "received", sign: "", label: "received", value: ledger.received },
    { key: "rolled_up", sign: "=", label: "rolled up", value: ledger.rolled_up },
    { key: "duplicate", sign: "+", label: "duplicate", value: ledger.duplicate },
    { key: "rejected", sign: "+", label: "rejected", value: ledger.rejected },
    { key: "dropped", sign: "+", label: "dropped", value: ledger.dropped },
    { key: "open", sign: "+", label: "still open", value: ledger.open },
    { key: "finding", sign: ledger.balanced ? "✓" : "!", label: ledger.balanced ? "balanced" : "not balanced (yet)", value: ledger.unaccounted ? `${whole(ledger.unaccounted)} unexplained` : `${whole(ledger.stored)} stored`, tone: ledger.balanced ? "ok" : "warn" },
  ];
  arrange(node, terms, (term) => term.key, term);
}

function term() {
  const sign = el("span", { class: "sign", "aria-hidden": "true" });
  const value = el("dd");
  const label = el("dt");
  const node = el("div", {}, sign, value, label);
  return {
    node,
    update(item) {
      mark(node, "data-tone", item.tone ?? "");
      say(sign, item.sign);
      say(value, typeof item.value === "number" ? whole(item.value) : item.value);
      say(label, item.label);
    },
  };
}
