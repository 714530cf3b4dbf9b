// What the stream has said so far.

export function emptyStore() {
  return { tenant: "", fleet: null, ledger: null, sites: new Map(), alerts: new Map(), rollouts: new Map() };
}

const KEYS = { site: "site", alert: "fingerprint", rollout: "rollout" };
const MAPS = { site: "sites", alert: "alerts", rollout: "rollouts" };

/** Take one event; the name of the part of the page that it concerns. */
export function take(store, kind, data) {
  if (kind === "fleet") store.fleet = data;
  else if (kind === "account") store.ledger = data;
  else if (kind in MAPS) store[MAPS[kind]].set(data[KEYS[kind]], data);
  else if (kind === "gone" && data.kind in MAPS) {
    store[MAPS[data.kind]].delete(data.key);
    return data.kind;
  }
  return kind;
}
