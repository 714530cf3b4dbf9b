// Elements made by hand: text is only ever text, whatever a device calls itself.
const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children (strings become text). */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Set text where it differs, so that nothing is laid out in vain. */
export function say(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

/** Set an attribute where it differs. */
export function mark(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

/**
 * Make the children of `parent` those of `items`, in order: what is there by key is updated in place (focus, open
 * details and selections survive), what is new is made, what is gone is removed.
 */
export function arrange(parent, items, key, make) {
  const known = parent.arranged ?? new Map();
  const next = new Map(items.map((item) => [key(item), item]));
  for (const [name, part] of known) if (!next.has(name)) part.node.remove();
  let place = parent.firstElementChild;
  for (const [name, item] of next) {
    const part = known.get(name) ?? make(item);
    part.update(item);
    next.set(name, part);
    if (part.node === place) place = place.nextElementSibling;
    else parent.insertBefore(part.node, place);
  }
  parent.arranged = next;
}
