// What the browser keeps: small JSON values under names of our own. Where that
// is forbidden or full, they last as long as the page.

const PREFIX = "weir.";

class Store {
  #storage;
  #memory = new Map();

  constructor(name) {
    try {
      this.#storage = window[name];
      this.#storage.setItem(`${PREFIX}works`, "1");
      this.#storage.removeItem(`${PREFIX}works`);
    } catch {
      this.#storage = null;
    }
  }

  /** The value under a name, or `null`. */
  get(name) {
    const text = this.#memory.get(name) ?? this.#storage?.getItem(PREFIX + name) ?? null;
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }

  /** Keeps a value; `null` removes it. */
  set(name, value) {
    this.#memory.delete(name);
    try {
      if (value === null || value === undefined) return this.#storage?.removeItem(PREFIX + name);
      if (!this.#storage) throw new Error("no storage");
      return this.#storage.setItem(PREFIX + name, JSON.stringify(value));
    } catch {
      return this.#memory.set(name, JSON.stringify(value));
    }
  }

  /** All names that begin so. */
  names(start) {
    const kept = this.#storage ? Object.keys(this.#storage) : [];
    const names = kept.filter((it) => it.startsWith(PREFIX)).map((it) => it.slice(PREFIX.length));
    return [...new Set([...names, ...this.#memory.keys()])].filter((it) => it.startsWith(start));
  }

  /** Calls with the name whenever another tab has changed a value. */
  watch(heard) {
    addEventListener("storage", (event) => {
      if (event.storageArea === this.#storage && event.key?.startsWith(PREFIX)) heard(event.key.slice(PREFIX.length));
    });
  }
}

/** What every tab of this browser sees, also tomorrow. */
export const device = new Store("localStorage");
/** What this tab alone sees, until it closes. */
export const tab = new Store("sessionStorage");

/** A random id; `crypto.randomUUID` is missing on plain HTTP addresses. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((it) => it.toString(16).padStart(2, "0")).join("");
}
