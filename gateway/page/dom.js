// Nodes, made without markup: no text ever becomes HTML.

/**
 * Makes an element. An attribute whose value is a function listens to the event
 * of that name; `true` stands for an empty value; `false`, `null` and
 * `undefined` leave the attribute out. Children that are no nodes are texts.
 */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((it) => it !== null && it !== undefined));
  return node;
}

/** Whether a key belongs to an input method, which composes a word. */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** The element with this id, which the page always has. */
export const byId = (id) => document.getElementById(id);

/** A button that shows an icon, or an icon and its label. */
export function iconButton(icon, label, click, attributes = {}) {
  return element("button", { type: "button", class: "icon", title: label, "aria-label": label, click, ...attributes }, icon);
}

/** Says something to a screen reader, and to nobody else. */
export function announce(text) {
  byId("spoken").textContent = text;
}
