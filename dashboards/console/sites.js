// Sites: whether they are heard, how far behind they are, and their devices by state.
import { stackedBar } from "./bar.js";
import { arrange, byId, el, mark, say, show } from "./element.js";
import { byName, bytes, duration, now, plural } from "./format.js";
import { DEVICE, named, SITE } from "./states.js";

const GRAVITY = ["dark", "cut_off", "behind", "unheard", "live"];
const SHOWN = 200;

/** `choose(site)` is called when somebody wants a site's devices. */
export function renderSites(store, choose) {
  const sites = [...store.sites.values()].sort((a, b) => GRAVITY.indexOf(a.state) - GRAVITY.indexOf(b.state) || byName(a.site, b.site));
  arrange(byId("sites"), sites.slice(0, SHOWN), (site) => site.site, () => entry(choose));
  show(byId("no-sites"), sites.length === 0);
}

function entry(choose) {
  let current = "";
  const name = el("button", { class: "plain", type: "button" });
  name.addEventListener("click", () => choose(current));
  const chip = el("span", { class: "chip" });
  const facts = el("p", { class: "aside" });
  const bar = stackedBar();
  const node = el("li", { class: "site" }, el("div", { class: "site-head" }, name, chip), bar.node, facts);
  return {
    node,
    update(site) {
      current = site.site;
      const words = named(SITE, site.state);
      mark(node, "data-tone", words.tone);
      mark(chip, "data-tone", words.tone);
      say(chip, words.label);
      say(name, site.site);
      bar.update(Object.entries(DEVICE).map(([key, { label, tone }]) => ({ key, label, tone, value: site.states[key] ?? 0 })));
      say(facts, sentence(site));
    },
  };
}

function sentence(site) {
  const heard = site.watermark ? now() - site.watermark : 0;
  const parts = [];
  if (site.state === "dark") parts.push(`nothing heard for ${duration(heard)}`, "its devices are as last known");
  else if (site.state === "behind") parts.push(`${duration(heard)} behind`);
  else if (site.state === "cut_off") parts.push("its gateway is cut off from its broker");
  else if (site.state === "unheard") parts.push("no heartbeat has arrived");
  else parts.push(`${plural(site.devices, "device")}`, "up to date");
  if (site.backlog_bytes > 0 && site.state !== "dark") parts.push(`${bytes(site.backlog_bytes)} to come`);
  return parts.join(" · ");
}

export function sitesInNumbers(store) {
  const sites = [...store.sites.values()];
  return { total: sites.length, live: sites.filter((site) => site.state === "live").length, dark: sites.filter((site) => site.state === "dark").map((site) => site.site) };
}
