// The access token: taken from the address's fragment or from the form, kept for this tab alone.
const KEY = "tidegate.token";

/** Parameters of the fragment (`#token=…&rollout=…`). */
export function fragment() {
  return new URLSearchParams(location.hash.slice(1));
}

/** Take a token from the fragment, and it from the address bar and the history at once. */
export function adoptToken() {
  const parameters = fragment();
  const token = parameters.get("token");
  if (!token) return;
  parameters.delete("token");
  const rest = parameters.toString();
  history.replaceState(null, "", location.pathname + (rest ? `#${rest}` : ""));
  keep(token);
}

export const token = () => sessionStorage.getItem(KEY) ?? "";
export const keep = (text) => sessionStorage.setItem(KEY, text);
export const forget = () => sessionStorage.removeItem(KEY);

/** A GET of the API. Throws an Error with the problem's own words; `status` says which kind. */
export async function ask(path, signal) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token()}` }, signal, cache: "no-store" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail || problem.title || answer.statusText), { status: answer.status });
}
