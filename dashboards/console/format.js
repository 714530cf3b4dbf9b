// How numbers, times and names are written.
const timeFormat = (parts) => made(() => new Intl.DateTimeFormat("en-GB", parts));
const FOUR = made(() => new Intl.NumberFormat("en", { maximumSignificantDigits: 4 }));
const CLOCK = timeFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = timeFormat({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const MINUTE = timeFormat({ hour: "2-digit", minute: "2-digit" });
const DATE = timeFormat({ day: "numeric", month: "short" });
const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A format that is made when it is first needed: the browser's tables for it cost tens of milliseconds before the first paint. */
function made(make) {
  let format = null;
  return { format: (value) => (format ??= make()).format(value) };
}

let offset = 0;
/** The server's clock is the one that counts. */
export const setClock = (serverMs) => { offset = serverMs - Date.now(); };
export const now = () => Date.now() + offset;

/** The order of names by their letters' codes: a language's own order costs a table that a first paint would wait for. */
export const byName = (a, b) => (a < b ? -1 : Number(a > b));

/** A whole number in groups of three digits. */
export const whole = (number) => String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ",");
export const plural = (number, one, many = `${one}s`) => `${whole(number)} ${number === 1 ? one : many}`;

/** A measured number: four significant digits, powers of ten where zeros would have to be counted. */
export function measured(number) {
  const size = Math.abs(number);
  return size !== 0 && (size >= 1e7 || size < 1e-3) ? power(Math.log10(size), number < 0) : FOUR.format(number);
}

const UNITS = { _s: " s", _percent: " %", _celsius: " °C" };
const EPOCH_MS = 1e11; // more milliseconds than any duration here: a point in time

/** A number's name and value as people write them: `silent_s`, 7.2 is "silent", "7.2 s". */
export function quantity(name, number) {
  const words = (text) => text.replaceAll("_", " ");
  if (name.endsWith("_ms")) return [words(name.slice(0, -3)), number > EPOCH_MS ? moment(number) : `${measured(number)} ms`];
  if (name.endsWith("_bytes")) return [words(name.slice(0, -6)), bytes(number)];
  const suffix = Object.keys(UNITS).find((unit) => name.endsWith(unit));
  return suffix ? [words(name.slice(0, -suffix.length)), measured(number) + UNITS[suffix]] : [words(name), measured(number)];
}

/** An e-value from its logarithm, as large or small as it may be. */
export function eValue(log10) {
  if (log10 >= 4 || log10 <= -3) return power(log10, false);
  const value = 10 ** log10;
  return value >= 100 ? whole(Math.round(value)) : FOUR.format(Number(value.toPrecision(3)));
}

/** A probability from its logarithm. */
export const power10 = (log10) => (log10 > -3 ? FOUR.format(Number((10 ** log10).toPrecision(2))) : power(log10, false));

function power(log10, negative) {
  let exponent = Math.floor(log10);
  let mantissa = (10 ** (log10 - exponent)).toFixed(1);
  if (mantissa === "10.0") [mantissa, exponent] = ["1.0", exponent + 1];
  const raised = String(Math.abs(exponent)).replace(/\d/g, (digit) => SUPERSCRIPT[digit]);
  return `${negative ? "−" : ""}${mantissa} × 10${exponent < 0 ? "⁻" : ""}${raised}`;
}

export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60 ? `${minutes % 60} min` : ""}`.trim() : `${Math.floor(hours / 24)} d`;
}

export const ago = (at) => (at ? `${duration(now() - at)} ago` : "never");
export const clock = (at) => CLOCK.format(at);
export const moment = (at) => (Math.abs(now() - at) < 43_200_000 ? CLOCK : DAY).format(at);
/** A time on an axis that spans `range` (ms). */
export const tick = (at, [from, to]) => (to - from > 172_800_000 ? DATE : to - from < 300_000 ? CLOCK : MINUTE).format(at);
export const exact = (at) => (at ? new Date(at).toISOString() : "");

export function bytes(number) {
  if (number < 1000) return `${number} B`;
  return number < 1e6 ? `${FOUR.format(Number((number / 1e3).toPrecision(3)))} kB` : `${FOUR.format(Number((number / 1e6).toPrecision(3)))} MB`;
}
