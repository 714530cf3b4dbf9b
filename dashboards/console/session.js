// The access token, kept for this tab alone: it is typed into the form and travels in a header, never in an address.
const KEY = "tidegate.token";

export const token = () => sessionStorage.getItem(KEY) ?? "";
export const keep = (text) => sessionStorage.setItem(KEY, text);
export const forget = () => sessionStorage.removeItem(KEY);

/** A GET of the API. Throws an Error with the problem's own words; `status` says which kind. */
export const ask = (path, signal) => call(path, { signal });

/** A POST with a JSON body; the answer's `data`. */
export async function send(path, body) {
  const options = { method: "POST", body: JSON.stringify(body) };
  return (await (await call(path, options, { "Content-Type": "application/json" })).json()).data;
}

async function call(path, options, headers = {}) {
  const shown = token();
  try {
    return await checked(await fetch(path, { ...options, headers: { ...headers, Authorization: `Bearer ${shown}` }, cache: "no-store" }));
  } catch (error) {
    if (error.status === 401 && shown === token()) refused(error.message);
    throw error;
  }
}

let refused = () => {};
/** `then(words)` is called when the API does not take the token any more. */
export const onRefused = (then) => { refused = then; };

/** The answer, or an Error that says what went wrong in words for people. */
export async function checked(answer) {
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const words = problem.detail || problem.title || answer.statusText || `status ${answer.status}`;
  throw Object.assign(new Error(words), { status: answer.status });
}
