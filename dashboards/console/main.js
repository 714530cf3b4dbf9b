// Sign in, follow the stream, draw what changed, at most once per frame.
import { renderAlerts } from "./alerts.js";
import { chooseSite, forgetDevices, renderFleet, renderRows, watchDevices } from "./devices.js";
import { byId, mark, say, show } from "./element.js";
import { setClock } from "./format.js";
import { renderFigures, renderLedger } from "./overview.js";
import { renderRollouts } from "./rollouts.js";
import { adoptToken, forget, keep, token } from "./session.js";
import { renderSites } from "./sites.js";
import { emptyStore, take } from "./store.js";
import { follow } from "./stream.js";

const LINK = { off: "signed out", opening: "connecting", live: "live", waiting: "reconnecting" };
const PARTS = ["fleet", "site", "alert", "rollout", "account"];
const TICK_MS = 1000;

let store = emptyStore();
let coming = null; // what a new stream has said so far, until it has said everything
let stop = null;
let frame = 0;
const dirty = new Set();

function draw() {
  frame = 0;
  const parts = new Set(dirty);
  dirty.clear();
  if (parts.has("rollout")) renderRollouts(store);
  if (parts.has("alert")) renderAlerts(store);
  if (parts.has("site")) renderSites(store, chooseSite);
  if (parts.has("fleet")) renderFleet(store);
  if (parts.has("account")) renderLedger(store);
  renderFigures(store);
}

function soon(...parts) {
  parts.forEach((part) => dirty.add(part));
  frame ||= requestAnimationFrame(draw);
}

function onEvent(kind, data) {
  if (kind === "hello" || kind === "reset") {
    setClock(data.at);
    coming = Object.assign(emptyStore(), { tenant: data.tenant ?? store.tenant });
  } else if (kind === "whole" && coming) {
    [store, coming] = [coming, null];
    say(byId("tenant"), store.tenant);
    link("live");
    soon(...PARTS);
  } else if (coming) {
    take(coming, kind, data);
  } else {
    soon(take(store, kind, data));
  }
}

function link(state) {
  mark(byId("link"), "data-state", state);
  say(byId("link-text"), LINK[state]);
}

function open() {
  stop?.abort();
  stop = new AbortController();
  show(byId("sign-in"), false);
  show(byId("board"), true);
  show(byId("sign-out"), true);
  link("opening");
  follow("/v1/events", { onEvent, onLink: link, onDenied: (error) => close(error.message), signal: stop.signal });
}

function close(complaint = "") {
  stop?.abort();
  forget();
  forgetDevices();
  store = emptyStore();
  coming = null;
  soon(...PARTS);
  renderRows();
  show(byId("board"), false);
  show(byId("sign-out"), false);
  show(byId("sign-in"), true);
  say(byId("complaint"), complaint);
  say(byId("tenant"), "");
  link("off");
  byId("token").focus();
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
addEventListener("hashchange", () => {
  const before = token();
  adoptToken();
  if (token() !== before) open();
  soon("rollout");
});
setInterval(() => {
  if (document.hidden || byId("board").hidden) return;
  renderRows(); // "12 s ago" grows older by itself
  soon("alert", "site", "rollout");
}, TICK_MS);

adoptToken();
watchDevices();
if (token()) open();
else close();
