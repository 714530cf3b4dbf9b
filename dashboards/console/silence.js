// The question before an alert is silenced: for how long, and why.
import { byId, el, say } from "./element.js";
import { now } from "./format.js";
import { send } from "./session.js";

const HOURS = [1, 2, 8, 24, 168];
const USUAL = 2;

let asked = null; // the alert that the dialog is about

export function watchSilencing() {
  for (const hours of HOURS) byId("silence-hours").append(el("option", { value: hours }, hours < 48 ? `${hours} h` : `${hours / 24} days`));
  byId("silence-form").addEventListener("submit", silence);
  byId("silence-cancel").addEventListener("click", () => byId("silence").close());
}

/** Ask about this alert. */
export function askToSilence(alert) {
  asked = alert;
  say(byId("silence-what"), [alert.name, alert.labels.site, alert.labels.device].filter(Boolean).join(" / "));
  say(byId("silence-complaint"), "");
  byId("silence-hours").value = USUAL;
  byId("silence-comment").value = "";
  byId("silence").showModal();
}

async function silence(event) {
  event.preventDefault();
  const ends_at = Math.round(now() + Number(byId("silence-hours").value) * 3_600_000);
  try {
    await send("/v1/silences", { matchers: matchers(asked), ends_at, comment: byId("silence-comment").value.trim() || "from the console" });
    byId("silence").close();
  } catch (error) {
    say(byId("silence-complaint"), error.status === 403 ? `This token may not do that: ${error.message}` : error.message);
  }
}

/** Patterns that match this alert's labels to the letter. */
function matchers(alert) {
  const literal = (text) => text.replace(/[*?[]/g, "[$&]");
  const labels = Object.entries(alert.labels).filter(([label]) => /^[A-Za-z_]\w*$/.test(label) && label !== "alertname").slice(0, 19);
  return [["alertname", alert.name], ...labels].map(([label, value]) => ({ label, pattern: literal(value) }));
}
