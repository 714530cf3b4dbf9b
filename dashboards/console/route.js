// Where one is: `#/page/name?from=…&to=…`. The fragment is a link that can be sent to somebody; it holds no secret.
const PAGES = { "": "fleet", incidents: "incidents", alerts: "alerts", rollouts: "rollouts", devices: "device", pipeline: "pipeline" };
export const TITLES = { fleet: "Fleet", incidents: "Incidents", alerts: "Alerts", rollouts: "Rollouts", device: "Device", pipeline: "Pipeline" };

/** The page, the names behind it, and the parameters. */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, ...names] = path.split("/");
  return { page: PAGES[first] ?? "fleet", names: names.map(plainly), parameters: new URLSearchParams(query ?? "") };
}

function plainly(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The link to a page's thing. */
export const linkTo = (page, ...names) => `#/${[page, ...names].map(encodeURIComponent).join("/")}`;

/** A device's link, with a time range that begins before `since` (ms) where it is given. */
export function deviceLink(site, device, since = 0) {
  const link = linkTo("devices", site, device);
  return since ? `${link}?from=${since - 900_000}&to=${since + 900_000}` : link;
}

/** Change the time range of the present address without a new page in the history. */
export function setRange(parameters) {
  const path = location.hash.split("?")[0];
  history.replaceState(null, "", `${path}?${new URLSearchParams(parameters)}`);
}
