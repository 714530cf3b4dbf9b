// Server-sent events read by fetch, so that the token travels in a header and never in an address.
import { checked } from "./session.js";

const SILENT_MS = 25_000; // the server says something at least every ten seconds
const LONGEST_WAIT_MS = 10_000;

/** Follow the events for ever: `onEvents([[kind, data], …])`, `onLink(state)`; ends when `onDenied(message)` was called. */
export async function follow(token, { onEvents, onLink, onDenied }, signal) {
  let [wait, mark] = [500, ""];
  while (!signal.aborted) {
    try {
      await readOnce(token, mark, (events, told) => {
        [wait, mark] = [500, told || mark];
        if (events.length) onEvents(events);
      }, signal);
      if (!signal.aborted) onLink("waiting");
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) return onDenied(error.message);
      onLink("waiting");
    }
    await pause(wait * (0.5 + Math.random() / 2), signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

/** One connection: `onTold(events, mark)`; with the mark of a former one it begins where that was lost. */
async function readOnce(token, mark, onTold, signal) {
  const silent = new AbortController();
  const headers = { Authorization: `Bearer ${token}`, ...(mark ? { "Last-Event-ID": mark } : {}) };
  const options = { headers, signal: AbortSignal.any([signal, silent.signal]), cache: "no-store" };
  const answer = await checked(await fetch("/v1/events?kinds=fleet,site,alert,incident,rollout,account,silence,maintenance", options));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let alarm = setTimeout(() => silent.abort(), SILENT_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(() => silent.abort(), SILENT_MS);
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      const told = blocks.findLast((block) => /^id: /m.test(block))?.match(/^id: (.*)$/m)[1];
      onTold(blocks.map(parse).filter(Boolean), told ?? "");
    }
  } finally {
    clearTimeout(alarm);
  }
}

/** One event's kind and data; null for a comment. */
function parse(block) {
  let kind = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data ? [kind, JSON.parse(data)] : null;
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
