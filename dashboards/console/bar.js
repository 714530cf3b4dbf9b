// A stacked bar with its legend: how a whole divides into parts.
import { arrange, el, mark, say, show } from "./element.js";
import { whole } from "./format.js";

/** `update(parts)` with parts of {key, label, tone, value}; parts of zero are left out. */
export function stackedBar({ legend = true } = {}) {
  const track = el("span", { class: "track", "aria-hidden": "true" });
  const words = el("span", { class: "legend" });
  const node = el("span", { class: "stacked" }, track, words);
  return {
    node,
    update(parts) {
      const present = parts.filter((part) => part.value > 0);
      arrange(track, present, (part) => part.key, segment);
      show(words, legend);
      if (legend) arrange(words, present, (part) => part.key, entry);
    },
  };
}

function segment() {
  const node = el("span", { class: "segment" });
  return {
    node,
    update(part) {
      mark(node, "data-tone", part.tone);
      const grow = String(part.value);
      if (node.style.flexGrow !== grow) node.style.flexGrow = grow;
    },
  };
}

function entry() {
  const number = el("b");
  const word = el("span");
  const node = el("span", { class: "entry" }, el("i", { "aria-hidden": "true" }), number, " ", word);
  return {
    node,
    update(part) {
      mark(node, "data-tone", part.tone);
      say(number, whole(part.value));
      say(word, part.label);
    },
  };
}
