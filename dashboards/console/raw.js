// Raw samples: ask the site's gateways, wait for their answers, draw what came.
import { bandChart, loadCharts } from "./band.js";
import { arrange, byId, say } from "./element.js";
import { plural } from "./format.js";
import { ask, send } from "./session.js";

const AGAIN_MS = 700;
const MOST_SAMPLES = 200_000;
const MOST_CHUNKS = 50;

let asked = null; // {site, device, bounds} of the device that is on the page

export function watchRaw(site, device, bounds) {
  asked = { site, device, bounds };
  byId("raw-ask").onclick = () => pull(asked);
}

export function forgetRaw() {
  asked = null;
  for (const part of byId("raw-charts").arranged?.values() ?? []) part.end();
  arrange(byId("raw-charts"), [], () => "", () => null);
  say(byId("raw-state"), "");
  byId("raw-ask").disabled = false;
}

async function pull(mine) {
  const { site, device, bounds } = mine;
  const [start, end] = bounds();
  byId("raw-ask").disabled = true;
  try {
    let view = await send("/v1/samples", { site, device: literal(device), start, end, most_samples: MOST_SAMPLES });
    while (mine === asked && !view.done) {
      say(byId("raw-state"), told(view));
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      view = (await (await ask(`/v1/samples/${view.request}`)).json()).data;
    }
    const columns = await chunks(mine, view);
    if (mine === asked) await draw(mine, columns, [start, end], view);
  } catch (error) {
    if (mine === asked) say(byId("raw-state"), error.status === 403 ? `This token may not ask for samples: ${error.message}` : error.message);
  }
  if (mine === asked) byId("raw-ask").disabled = false;
}

const literal = (text) => text.replace(/[*?[]/g, "[$&]");

function told(view) {
  const states = view.gateways.map((one) => `${one.gateway}: ${one.state}${one.reason ? ` (${one.reason.replaceAll("_", " ")})` : ""}`);
  return states.join(", ");
}

/** Everything that the gateways sent, by metric: {times, values}. */
async function chunks(mine, view) {
  const found = new Map();
  for (const gateway of view.gateways) {
    for (let number = 0; number < Math.min(gateway.chunks, MOST_CHUNKS) && mine === asked; number += 1) {
      const path = `/v1/samples/${view.request}/${encodeURIComponent(gateway.gateway)}/${number}`;
      const { data } = await (await ask(path)).json();
      data.series.forEach((row, index) => {
        const { metric } = data.table[row];
        if (!found.has(metric)) found.set(metric, []);
        found.get(metric).push([data.ts[index], data.value[index]]);
      });
    }
  }
  return found;
}

async function draw(mine, found, range, view) {
  const uPlot = await loadCharts();
  if (mine !== asked) return;
  const total = [...found.values()].reduce((sum, samples) => sum + samples.length, 0);
  say(byId("raw-state"), total ? `${plural(total, "sample")} as they were sent` : `No samples came. ${told(view)}`);
  const charts = [...found].sort().map(([metric, samples]) => {
    samples.sort((a, b) => a[0] - b[0]);
    const values = samples.map(([, value]) => value);
    return { key: metric, title: metric.replaceAll("_", " "), note: plural(values.length, "sample"), times: samples.map(([at]) => at), mean: values, min: values, max: values, range, spans: [], marks: [] };
  });
  arrange(byId("raw-charts"), charts, (chart) => chart.key, () => bandChart(uPlot, () => {}));
}
