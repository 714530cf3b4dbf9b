// What the stream has said so far.

/** Things that there are many of: where they are kept, and what names one. */
export const KINDS = {
  site: { many: "sites", key: "site" },
  alert: { many: "alerts", key: "fingerprint" },
  rollout: { many: "rollouts", key: "rollout" },
  incident: { many: "incidents", key: "incident" },
  silence: { many: "silences", key: "id" },
  maintenance: { many: "maintenance", key: "id" },
};

export function emptyStore() {
  return { tenant: "", fleet: null, ledger: null, sites: new Map(), alerts: new Map(), rollouts: new Map(), incidents: new Map(), silences: new Map(), maintenance: new Map() };
}

/** Take one event; the name of the part of the page that it concerns. */
export function take(store, kind, data) {
  if (kind === "fleet") store.fleet = data;
  else if (kind === "account") store.ledger = data;
  else if (kind in KINDS) store[KINDS[kind].many].set(data[KINDS[kind].key], data);
  else if (kind === "gone" && data.kind in KINDS) {
    store[KINDS[data.kind].many].delete(data.key);
    return data.kind;
  }
  return kind;
}

/** Everything in the store as the events that would fill an empty one. */
export function retell(store) {
  const events = [];
  if (store.fleet) events.push(["fleet", store.fleet]);
  if (store.ledger) events.push(["account", store.ledger]);
  for (const [kind, { many }] of Object.entries(KINDS)) for (const data of store[many].values()) events.push([kind, data]);
  return events;
}
