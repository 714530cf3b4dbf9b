// The pipeline's health: each gateway's lag and account, and what could not be taken.
import { arrange, byId, el, mark, say, show } from "./element.js";
import { ago, byName, bytes, duration, exact, now, whole } from "./format.js";
import { ask } from "./session.js";
import { named, SITE } from "./states.js";

const AGAIN_MS = 3000;
const LETTERS = 50;

let accounts = [];
let letters = null;
let readAt = -Infinity;

/** Gateways at once from what the stream said; accounts and dead letters from the API now and then. */
export function renderPipeline(store) {
  if (!store.tenant) [accounts, letters, readAt] = [[], null, -Infinity];
  else if (performance.now() - readAt > AGAIN_MS) read(store);
  const booked = new Map(accounts.map((account) => [`${account.site}/${account.gateway}`, account])); // the newest boot is last
  const gateways = [...store.sites.values()].flatMap((site) => site.gateways.map((gateway) => ({ site: site.site, gateway, account: booked.get(`${site.site}/${gateway.gateway}`) })));
  gateways.sort((a, b) => gravity(b) - gravity(a) || byName(a.site, b.site));
  arrange(byId("accounts"), gateways, (item) => `${item.site}/${item.gateway.gateway}`, gatewayRow);
  show(byId("no-dead"), letters?.length === 0);
  show(byId("dead-frame"), Boolean(letters?.length));
  arrange(byId("dead"), letters ?? [], (letter) => `${letter.topic}/${letter.offset}`, letterRow);
}

const gravity = (item) => (item.gateway.state === "live" ? 0 : 1) + (item.account && !item.account.balanced ? 1 : 0);

async function read(store) {
  readAt = performance.now();
  try {
    const [ledger, dead] = await Promise.all([ask("/v1/ledger"), ask(`/v1/dead-letters?limit=${LETTERS}`)]);
    accounts = (await ledger.json()).data.accounts;
    letters = (await dead.json()).data;
    say(byId("pipeline-complaint"), "");
    renderPipeline(store);
  } catch (error) {
    say(byId("pipeline-complaint"), `This could not be read: ${error.message}`);
  }
}

function cellsOf(count, numbers) {
  return [el("th", { scope: "row" }), ...Array.from({ length: count }, (_, index) => el("td", { class: numbers.includes(index + 1) ? "number" : undefined }))];
}

function gatewayRow() {
  const cells = cellsOf(7, [2, 3, 4, 5, 6]);
  const chip = el("span", { class: "state" });
  const book = el("span", { class: "state" });
  cells[1].append(chip);
  cells[7].append(book);
  return {
    node: el("tr", {}, ...cells),
    update({ site, gateway, account }) {
      const words = named(SITE, gateway.state);
      say(cells[0], `${site} / ${gateway.gateway}`);
      say(chip, words.label);
      mark(chip, "data-tone", words.tone);
      say(cells[2], gateway.at ? duration(now() - gateway.at) : "–");
      say(cells[3], bytes(gateway.backlog_bytes));
      ["received", "rejected", "dropped"].forEach((name, index) => say(cells[4 + index], account ? whole(account[name]) : "–"));
      mark(cells[5], "title", account ? reasons(account.rejected_by_reason) : "");
      mark(cells[6], "title", account ? reasons(account.dropped_by_reason) : "");
      say(book, account ? (account.balanced ? "balanced" : account.finding.replaceAll("_", " ")) : "none yet");
      mark(book, "data-tone", account ? (account.balanced ? "ok" : "warn") : "idle");
    },
  };
}

const reasons = (counts) => Object.entries(counts).map(([reason, count]) => `${reason.replaceAll("_", " ")}: ${whole(count)}`).join(", ");

function letterRow() {
  const cells = cellsOf(5, [5]);
  return {
    node: el("tr", {}, ...cells),
    update(letter) {
      say(cells[0], ago(letter.at));
      mark(cells[0], "title", exact(letter.at));
      [`${letter.site} / ${letter.gateway}`, letter.reason.replaceAll("_", " "), letter.detail || "–", letter.topic, bytes(letter.bytes)].forEach((text, index) => say(cells[index + 1], text));
    },
  };
}
