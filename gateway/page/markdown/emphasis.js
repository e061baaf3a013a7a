// Emphasis, strong and struck text, by CommonMark's algorithm for runs of
// delimiters, over a linked list of what stands in a line. Beside CJK letters
// a run may open or close where a space would be needed elsewhere.

import { after, before, isCjk, isPunctuation, isSpace } from "./characters.js";

/** What stands within each other so deep; deeper it is plain text. */
export const HEIGHT = 16;
const NAMES = { "*": ["em", "strong"], _: ["em", "strong"], "~": ["", "strike"] };
/** So many runs that are still open get an end while a text grows. */
const ASSUMED = 8;

/** What stands in a line, as a list that can be cut anywhere. */
export class Chain {
  constructor() {
    this.head = { next: null };
    this.last = this.head;
  }

  push(item) {
    return this.insert(item, this.last);
  }

  insert(item, before_it) {
    item.before = before_it;
    item.next = before_it.next;
    before_it.next = item;
    if (item.next) item.next.before = item;
    else this.last = item;
    return item;
  }

  remove(item) {
    item.before.next = item.next;
    if (item.next) item.next.before = item.before;
    else this.last = item.before;
  }

  /** Takes out what stands between two items, or after the first. */
  cut(from, to = null) {
    const items = [];
    for (let item = from.next; item !== to; item = item.next) items.push(item);
    from.next = to;
    if (to) to.before = from;
    else this.last = from;
    return finished(items);
  }
}

/** The text of nodes without its marks. */
export function plain(nodes) {
  return nodes.map((it) => (it.children ? plain(it.children) : it.type === "break" ? " " : it.text)).join("");
}

/** Items as nodes: runs left over are text, and texts are joined. */
function finished(items) {
  const nodes = [];
  let texts = [];
  const flush = () => {
    if (texts.length) nodes.push({ type: "text", text: texts.join("") });
    texts = [];
  };
  for (const item of items) {
    if (item.type === "run") texts.push(item.char.repeat(item.count));
    else if (item.type === "text") texts.push(item.text);
    else {
      flush();
      const { before: _before, next: _next, ...node } = item;
      nodes.push(node);
    }
  }
  flush();
  return nodes.filter((it) => it.type !== "text" || it.text !== "");
}

/** A node around others, or their text where they stand too deep. */
export function around(type, children, fields) {
  const height = 1 + children.reduce((most, it) => Math.max(most, it.height ?? 0), 0);
  if (height <= HEIGHT) return { type, children, height, ...fields };
  return { type, children: [{ type: "text", text: plain(children) }], height: 1, ...fields };
}

/** The run of delimiters at a place: whether it may open and may close. */
export function run(text, at) {
  const char = text[at];
  let end = at + 1;
  while (text[end] === char) end += 1;
  const prior = before(text, at);
  const next = after(text, end);
  const mark = (it) => isPunctuation(it) && !isCjk(it);
  const apart = (it) => isSpace(it) || isPunctuation(it) || isCjk(it);
  const left = !isSpace(next) && (!mark(next) || apart(prior));
  const right = !isSpace(prior) && (!mark(prior) || apart(next));
  const under = char === "_";
  const whole = char !== "~" || end - at === 2;
  return {
    type: "run",
    char,
    count: end - at,
    total: end - at,
    opens: whole && left && (!under || !right || isPunctuation(prior)),
    closes: whole && right && (!under || !left || isPunctuation(next)),
    apart: isSpace(prior) || isPunctuation(prior),
  };
}

/** The runs that may still become emphasis, innermost last. */
export class Runs {
  constructor(chain) {
    this.chain = chain;
    this.floor = { above: null };
    this.top = this.floor;
    this.count = 0;
  }

  push(item) {
    this.count += 1;
    item.order = this.count;
    item.below = this.top;
    item.above = null;
    this.top.above = item;
    this.top = item;
  }

  #drop(item) {
    item.below.above = item.above;
    if (item.above) item.above.below = item.below;
    else this.top = item.below;
  }

  /** Forgets every run above one. */
  clear(bottom) {
    bottom.above = null;
    this.top = bottom;
  }

  /** Pairs the runs above one. */
  pair(bottom) {
    const lowest = new Map();
    let closer = bottom.above;
    while (closer) {
      closer = closer.closes ? this.#close(closer, bottom, lowest) : closer.above;
    }
  }

  // Looks for what a run closes; gives the run to go on with. `lowest` says
  // below which runs none was found before, which keeps the work linear.
  #close(closer, bottom, lowest) {
    const key = `${closer.char}${closer.opens}${closer.total % 3}`;
    const least = lowest.get(key) ?? 0;
    let opener = closer.below;
    while (opener !== bottom && opener.order >= least && !fit(opener, closer)) opener = opener.below;
    const { above } = closer;
    if (opener === bottom || opener.order < least) {
      lowest.set(key, closer.order);
      if (!closer.opens) this.#drop(closer);
      return above;
    }
    const count = opener.count >= 2 && closer.count >= 2 ? 2 : 1;
    opener.above = closer;
    closer.below = opener;
    this.#wrap(opener, closer, count);
    if (opener.count === 0) this.#drop(opener);
    if (closer.count > 0) return closer;
    this.chain.remove(closer);
    this.#drop(closer);
    return above;
  }

  #wrap(opener, closer, count) {
    const node = around(NAMES[opener.char][count - 1], this.chain.cut(opener, closer));
    this.chain.insert(node, opener);
    opener.count -= count;
    if (opener.count === 0) this.chain.remove(opener);
    if (closer) closer.count -= count;
  }

  /** Ends what a growing text has begun: its end is probably still to come. */
  assume() {
    let item = this.top;
    for (let n = 0; n < ASSUMED && item !== this.floor; n += 1) {
      const { below } = item;
      const clear = item.count <= 3 && (item.count >= 2 || item.apart);
      while (item.opens && clear && item.count > 0 && item.next) this.#wrap(item, null, Math.min(item.count, 2));
      item = below;
    }
  }
}

function fit(opener, closer) {
  if (opener.char !== closer.char || !opener.opens) return false;
  const odd = (closer.opens || opener.closes) && closer.total % 3 !== 0;
  return !(odd && (opener.total + closer.total) % 3 === 0);
}
