// One place for what a state is called and how grave it is. Colour never stands alone: the words are always there.

/** Tone of a device's state, in the order of a stacked bar. */
export const DEVICE = {
  online: { label: "online", tone: "ok" },
  silent: { label: "silent", tone: "bad" },
  lost: { label: "lost", tone: "warn" },
  retired: { label: "retired", tone: "idle" },
};

export const SITE = {
  live: { label: "live", tone: "ok" },
  behind: { label: "catching up", tone: "warn" },
  cut_off: { label: "hears no devices", tone: "bad" },
  dark: { label: "dark", tone: "bad" },
  unheard: { label: "not heard yet", tone: "idle" },
};

export const VERDICT = {
  pass: { label: "Pass", tone: "ok", means: "the gate is open" },
  fail: { label: "Fail", tone: "bad", means: "the gate is shut" },
  inconclusive: { label: "Undecided", tone: "wait", means: "gathering evidence" },
};

export const ALERT = {
  firing: { label: "firing", tone: "bad" },
  stale: { label: "not heard since", tone: "warn" },
  acknowledged: { label: "looked after", tone: "wait" },
  suppressed: { label: "silenced", tone: "idle" },
  pending: { label: "pending", tone: "warn" },
  resolved: { label: "resolved", tone: "ok" },
};

export const INCIDENT = {
  growing: { label: "growing", tone: "bad" },
  open: { label: "open", tone: "warn" },
  resolved: { label: "resolved", tone: "ok" },
  merged: { label: "part of another", tone: "idle" },
};

/** What happened to a device; `mark` is its word in a chart. */
export const CHANGE = {
  first_seen: { label: "first seen", tone: "idle", name: "Device" },
  attributes: { label: "changed", tone: "idle", name: "Hardware, group or tags" },
  installed: { label: "installed", tone: "wait", name: "Firmware" },
  rebooted: { label: "rebooted", tone: "warn", name: "Device", mark: "reboot" },
  silent: { label: "silent", tone: "bad", name: "Device", mark: "silent" },
  lost: { label: "lost", tone: "warn", name: "Device", mark: "lost" },
  returned: { label: "returned", tone: "ok", name: "Device", mark: "back" },
  retired: { label: "retired", tone: "idle", name: "Device" },
};

const UNKNOWN = { tone: "idle" };
export const named = (table, state) => table[state] ?? { ...UNKNOWN, label: String(state) };
