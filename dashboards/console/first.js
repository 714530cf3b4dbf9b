// The first picture: one answer of the API, shown before the stream of changes has begun.
import { ask, token } from "./session.js";
import { KINDS } from "./store.js";

// Asked for before anything else of the page runs: the answer comes while the page gets ready.
let early = token() ? ask("/v1/overview") : null;
early?.catch(() => {}); // whoever wants the picture hears of it

/** Everything as the events that a stream would begin with. Throws as `ask` does. */
export async function firstPicture(signal) {
  const asked = early ?? ask("/v1/overview", signal);
  early = null;
  const { data } = await (await asked).json();
  const { tenant, at } = data;
  const lists = Object.entries(KINDS).flatMap(([kind, { many }]) => data[many].map((one) => [kind, one]));
  return [["hello", { tenant, at }], ["fleet", data.fleet], ["account", data.account], ...lists, ["whole", {}]];
}
