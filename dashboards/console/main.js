// Sign in, follow the stream, draw what changed on the page that is looked at, at most once per frame.
import { firstPicture } from "./first.js";
import { alertsInNumbers, renderAlerts, renderMaintenance, renderSilences } from "./alerts.js";
import { renderAttention } from "./attention.js";
import { forgetDevice, renderDevice, tickDevice } from "./device.js";
import { chooseSite, forgetDevices, renderFleet, renderRows, watchDevices } from "./devices.js";
import { byId, mark, say, show } from "./element.js";
import { setClock } from "./format.js";
import { openIncidents, renderIncidents } from "./incidents.js";
import { watchKeys } from "./keyboard.js";
import { renderFigures, renderLedger } from "./overview.js";
import { renderPipeline } from "./pipeline.js";
import { renderRollouts, rolloutsInNumbers } from "./rollouts.js";
import { here, TITLES } from "./route.js";
import { forget, keep, onRefused, token } from "./session.js";
import { listen } from "./shared.js";
import { watchSilencing } from "./silence.js";
import { renderSites } from "./sites.js";
import { emptyStore, take } from "./store.js";
import { watchTheme } from "./theme.js";

const LINK = { off: "signed out", opening: "connecting", live: "live", waiting: "reconnecting" };
const PARTS = ["fleet", "site", "alert", "rollout", "account", "incident", "silence", "maintenance"];
const TICK_MS = 1000;

let store = emptyStore();
let coming = null; // what a new stream has said so far, until it has said everything
let stop = null;
let frame = 0;
const dirty = new Set();

/** What each page draws, and after a change of what. */
const DRAWN = {
  fleet: [
    [PARTS, () => renderFigures(store)],
    [["alert", "incident", "rollout"], () => renderAttention(store)],
    [["site"], () => renderSites(store, chooseSite)],
    [["fleet"], () => renderFleet(store)],
  ],
  incidents: [[["incident"], () => renderIncidents(store)]],
  alerts: [[["alert"], () => renderAlerts(store)], [["silence"], () => renderSilences(store)], [["maintenance"], () => renderMaintenance(store)]],
  rollouts: [[["rollout"], () => renderRollouts(store)]],
  device: [[["alert", "incident"], () => renderDevice(store)]],
  pipeline: [[["account"], () => renderLedger(store)], [["account", "site"], () => renderPipeline(store)]],
};

function draw() {
  frame = 0;
  if (!store.tenant && here().page !== "device") return; // nothing is known yet: no figure is better than a wrong one
  const parts = new Set(dirty);
  dirty.clear();
  for (const [kinds, render] of DRAWN[here().page]) if (kinds.some((kind) => parts.has(kind))) render();
  count("incidents", openIncidents(store).length);
  count("alerts", alertsInNumbers(store).firing);
  count("rollouts", rolloutsInNumbers(store).failed);
}

function count(what, number) {
  say(byId(`count-${what}`), number ? String(number) : "");
}

function soon(...parts) {
  parts.forEach((part) => dirty.add(part));
  frame ||= requestAnimationFrame(draw);
}

function onStream(events) {
  takeIn(events);
  if (!coming) link("live");
}

function takeIn(events) {
  for (const [kind, data] of events) {
    if (kind === "hello" || kind === "reset") {
      setClock(data.at);
      coming = Object.assign(emptyStore(), { tenant: data.tenant ?? store.tenant });
    } else if (kind === "resumed") {
      setClock(data.at);
      coming = null; // a picture that was lost on its way: what was known before it goes on
    } else if (kind === "whole" && coming) {
      [store, coming] = [coming, null];
      say(byId("tenant"), store.tenant);
      soon(...PARTS);
    } else if (coming) {
      take(coming, kind, data);
    } else {
      soon(take(store, kind, data));
    }
  }
}

function link(state) {
  mark(byId("link"), "data-state", state);
  say(byId("link-text"), LINK[state]);
}

function open() {
  stop?.();
  for (const [id, visible] of [["sign-in", false], ["tabs", true], ["sign-out", true]]) show(byId(id), visible);
  if (here().page === "device") show(byId("board"), true); // which asks for itself
  link("opening");
  soon(...PARTS);
  stop = begin();
}

/** Show the first picture, then follow what changes; the returned function ends both. */
function begin() {
  const gone = new AbortController();
  let leave = null;
  const followed = () => {
    if (!gone.signal.aborted) leave = listen(token(), { onEvents: onStream, onLink: link, onDenied: close });
  };
  firstPicture(gone.signal).then((events) => {
    if (gone.signal.aborted) return;
    show(byId("board"), true);
    takeIn(events);
    dirty.delete("fleet"); // what is below the first screen comes a frame later
    draw(); // at once: the next frame may be one that shows nothing yet
    painted(() => {
      soon("fleet");
      followed(); // the stream begins with all of this again: that may wait until this is seen
    });
  }, (error) => {
    if ([401, 403].includes(error.status) && !gone.signal.aborted) close(error.message);
    else {
      show(byId("board"), !gone.signal.aborted);
      followed();
    }
  });
  return () => {
    gone.abort();
    leave?.();
  };
}

/** Call `then` once the next frame has been painted; a tab that nobody sees paints none. */
function painted(then) {
  if (document.hidden) then();
  else requestAnimationFrame(() => setTimeout(then));
}

function close(complaint = "") {
  stop?.();
  stop = null;
  forget();
  forgetDevices();
  forgetDevice();
  store = emptyStore();
  coming = null;
  for (const render of Object.values(DRAWN).flat().map(([, render]) => render)) render();
  renderRows();
  for (const [id, visible] of [["sign-in", true], ["board", false], ["tabs", false], ["sign-out", false]]) show(byId(id), visible);
  say(byId("complaint"), complaint);
  say(byId("tenant"), "");
  link("off");
  byId("token").focus();
}

/** Show the page that the address names. */
function go() {
  const { page } = here();
  for (const part of document.querySelectorAll("[data-page]")) show(part, part.dataset.page === page);
  for (const tab of document.querySelectorAll("[data-to]")) {
    if (tab.dataset.to === page) mark(tab, "aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  say(byId("page-title"), TITLES[page]);
  document.title = `${TITLES[page]} · tidegate`;
  soon(...PARTS);
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("token").value.trim();
  byId("token").value = "";
  if (!text) return;
  keep(text);
  open();
});
byId("sign-out").addEventListener("click", () => close());
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", () => {
  go();
  scrollTo(0, 0);
  document.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "center" });
});
addEventListener("pagehide", () => stop?.());
addEventListener("pageshow", (event) => { if (event.persisted && token()) open(); });
setInterval(() => {
  if (document.hidden || byId("board").hidden) return;
  renderRows(); // "12 s ago" grows older by itself
  tickDevice();
  soon("alert", "site", "rollout", "incident", "silence", "maintenance");
}, TICK_MS);

onRefused(close);
watchTheme();
watchKeys();
watchDevices();
watchSilencing();
go();
if (token()) open();
else close();
