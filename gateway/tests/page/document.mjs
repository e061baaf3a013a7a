// As much of a document as the page's Markdown needs, without a browser: nodes
// that count how often they are made or written. Fails on anything else.

export const counted = { made: 0, written: 0 };

class Node {
  parentNode = null;

  constructor() {
    counted.made += 1;
  }

  get nextSibling() {
    const { childNodes } = this.parentNode;
    // From the end: what is drawn grows there.
    return childNodes[childNodes.lastIndexOf(this) + 1] ?? null;
  }

  remove() {
    if (!this.parentNode) return;
    const { childNodes } = this.parentNode;
    childNodes.splice(childNodes.lastIndexOf(this), 1);
    this.parentNode = null;
  }

  replaceWith(other) {
    this.parentNode.insertBefore(other, this);
    this.remove();
  }
}

class Text extends Node {
  #data;

  constructor(data) {
    super();
    this.#data = String(data);
  }

  get data() {
    return this.#data;
  }

  set data(data) {
    counted.written += data.length;
    this.#data = data;
  }

  get textContent() {
    return this.#data;
  }

  appendData(data) {
    this.replaceData(this.#data.length, 0, data);
  }

  replaceData(from, count, data) {
    counted.written += data.length;
    this.#data = this.#data.slice(0, from) + data + this.#data.slice(from + count);
  }
}

class Element extends Node {
  childNodes = [];
  attributes = new Map();
  listeners = null;

  constructor(name) {
    super();
    this.name = name;
  }

  get classList() {
    return { add: (name) => this.setAttribute("class", name) };
  }

  get firstChild() {
    return this.childNodes[0] ?? null;
  }

  get textContent() {
    return this.childNodes.map((it) => it.textContent).join("");
  }

  set textContent(text) {
    [...this.childNodes].forEach((it) => it.remove());
    if (text) this.append(text);
  }

  append(...children) {
    for (const it of children) this.insertBefore(typeof it === "string" ? new Text(it) : it, null);
  }

  appendChild(child) {
    return this.insertBefore(child, null);
  }

  insertBefore(child, next) {
    child.remove();
    const at = next ? this.childNodes.lastIndexOf(next) : this.childNodes.length;
    if (at < 0) throw new Error("the next one is no child");
    this.childNodes.splice(at, 0, child);
    child.parentNode = this;
    return child;
  }

  setAttribute(name, value) {
    this.attributes.set(name, value);
  }

  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }

  removeAttribute(name) {
    this.attributes.delete(name);
  }

  addEventListener(name, listener) {
    this.listeners ??= new Map();
    this.listeners.set(name, listener);
  }
}

export const document = {
  createElement: (name) => new Element(name),
  createTextNode: (text) => new Text(text),
};

/** Everything within a node, written down. */
export function drawn(node) {
  if (node instanceof Text) return JSON.stringify(node.data);
  const attributes = [...node.attributes].sort().map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return `<${node.name}${attributes.join("")}>${node.childNodes.map(drawn).join("")}</>`;
}

/** Every element within a node, itself included. */
export function* elements(node) {
  if (node instanceof Text) return;
  yield node;
  for (const child of node.childNodes) yield* elements(child);
}
