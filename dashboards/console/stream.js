// Server-sent events read by fetch, so that the token travels in a header and never in an address.
import { ask } from "./session.js";

const SILENT_MS = 25_000; // the server says something at least every ten seconds
const LONGEST_WAIT_MS = 10_000;

/** Follow `path` for ever: `onEvent(kind, data)`, `onLink(state)`; ends when `onDenied(error)` was called. */
export async function follow(path, { onEvent, onLink, onDenied, signal }) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      await readOnce(path, (kind, data) => {
        wait = 500;
        onEvent(kind, data);
      }, signal);
      onLink("waiting");
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) return onDenied(error);
      onLink("waiting");
    }
    await pause(wait * (0.5 + Math.random() / 2), signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

async function readOnce(path, onEvent, signal) {
  const silent = new AbortController();
  const answer = await ask(path, AbortSignal.any([signal, silent.signal]));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let alarm = setTimeout(() => silent.abort(), SILENT_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(() => silent.abort(), SILENT_MS);
      text = emit(text + value, onEvent);
    }
  } finally {
    clearTimeout(alarm);
  }
}

/** Emit the whole events of `text`; the rest of it, the beginning of the next one. */
function emit(text, onEvent) {
  const blocks = text.split("\n\n");
  const rest = blocks.pop();
  for (const block of blocks) {
    let kind = "message";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (data) onEvent(kind, JSON.parse(data));
  }
  return rest;
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
