// The stream that all tabs of one token share; where a browser has no shared workers, this tab's own.
import { follow } from "./stream.js";

const URL_OF_WORKER = "/console/shared-stream.js";
// The policy of the page lets scripts be named by this function alone, and it names one.
const trusted = globalThis.trustedTypes?.createPolicy("console", { createScriptURL: () => URL_OF_WORKER });

/** Listen until the returned function is called: `onEvents([[kind, data], …])`, `onLink(state)`, `onDenied(message)`. */
export function listen(token, hear) {
  if (typeof SharedWorker !== "function") return alone(token, hear);
  const worker = new SharedWorker(trusted ? trusted.createScriptURL("") : URL_OF_WORKER, { type: "module", name: "tidegate" });
  let stop = () => worker.port.postMessage({});
  let ended = false;
  worker.onerror = () => { if (!ended) stop = alone(token, hear); };
  worker.port.onmessage = ({ data }) => {
    if (ended) return;
    if (data.denied !== undefined) hear.onDenied(data.denied);
    else if (data.events) hear.onEvents(data.events);
    else hear.onLink(data.link);
  };
  worker.port.postMessage({ token });
  return () => { ended = true; stop(); };
}

function alone(token, hear) {
  const stop = new AbortController();
  follow(token, hear, stop.signal);
  return () => stop.abort();
}
