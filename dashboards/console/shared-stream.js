// Runs as a shared worker: one stream for each token, told to every tab that shows that token.
import { emptyStore, retell, take } from "./store.js";
import { follow } from "./stream.js";

const streams = new Map();

self.onconnect = ({ ports: [port] }) => {
  let joined = null;
  port.onmessage = ({ data }) => {
    joined?.leave(port);
    joined = data.token ? streamOf(data.token) : null;
    joined?.join(port);
  };
};

function streamOf(token) {
  if (!streams.has(token)) streams.set(token, begin(token));
  return streams.get(token);
}

function begin(token) {
  const ports = new Set();
  const stop = new AbortController();
  let [store, coming, hello, heard, link] = [null, null, null, 0, "opening"];
  const tell = (message) => ports.forEach((port) => port.postMessage(message));
  const remember = ([kind, data]) => {
    if (kind === "hello" || kind === "reset") [hello, coming, heard] = [{ ...hello, ...data }, emptyStore(), Date.now()];
    else if (kind === "resumed") [hello, coming, heard] = [{ ...hello, ...data }, null, Date.now()];
    else if (kind === "whole" && coming) [store, coming] = [coming, null];
    else if (coming ?? store) take(coming ?? store, kind, data);
  };
  const greeting = () => ({ ...hello, at: hello.at + Date.now() - heard }); // as the server would say it now
  follow(token, {
    onEvents(events) {
      link = "live";
      events.forEach(remember);
      tell({ events });
    },
    onLink(state) {
      link = state;
      tell({ link });
    },
    onDenied(denied) {
      streams.delete(token);
      tell({ denied });
    },
  }, stop.signal);
  const shared = {
    join(port) {
      ports.add(port);
      port.postMessage({ link });
      // A picture that is still coming is told from its beginning.
      if (coming) port.postMessage({ events: [["hello", greeting()], ...retell(coming)] });
      else if (store) port.postMessage({ events: [["hello", greeting()], ...retell(store), ["whole", {}]] });
    },
    leave(port) {
      ports.delete(port);
      if (ports.size) return;
      stop.abort();
      if (streams.get(token) === shared) streams.delete(token);
    },
  };
  return shared;
}
