// A text, line by line, as a tree of blocks: after CommonMark 0.31, with GFM's
// tables. What a line may still change is only the spine of open blocks, so
// that a last, unfinished line can be tried and taken back.
// Refuses raw HTML and definitions of references: both are text.

import { Line } from "./line.js";
import { begin, CONTAINER, DEPTH, NOTHING } from "./starts.js";
import { cells, delimiter } from "./table.js";

const CONTAINERS = new Set(["document", "quote", "item"]);
const CLOSING = /(`{3,}|~{3,})[ \t]*$/y;

function block(type, fields) {
  return { type, children: [], lines: [], blank: false, firm: 0, ...fields };
}

function holds(outer, inner) {
  if (outer.type === "list") return inner === "item";
  return CONTAINERS.has(outer.type) && inner !== "item";
}

/** Whether an open block goes on in a line, and what of the line it takes. */
function goes(node, line) {
  switch (node.type) {
    case "quote":
      if (line.indent > 3 || line.first !== ">") return false;
      line.strip();
      line.skip(1);
      line.indented(1);
      return true;
    case "item":
      if (line.blank) return node.children.length > 0 && (line.strip(), true);
      if (line.indent < node.offset) return false;
      line.indented(node.offset);
      return true;
    case "code":
      return goesCode(node, line);
    case "paragraph":
    case "table":
      return !line.blank;
    default:
      return true;
  }
}

function goesCode(node, line) {
  if (node.fence) {
    line.indented(Math.min(node.indent, line.indent));
    return true;
  }
  if (line.indent >= 4) line.indented(4);
  else if (line.blank) line.strip();
  else return false;
  return true;
}

function closes(node, line) {
  if (node.type !== "code" || !node.fence || line.indent > 3) return false;
  CLOSING.lastIndex = line.next;
  const found = CLOSING.exec(line.text);
  return found !== null && found[1][0] === node.fence[0] && found[1].length >= node.fence.length;
}

export class Blocks {
  constructor() {
    this.root = block("document");
    /** The open blocks, from the document to the innermost. */
    this.spine = [this.root];
    this.reached = 0;
    this.added = false;
  }

  get tip() {
    return this.spine.at(-1);
  }

  /** The innermost open block that the line belongs to. */
  get container() {
    return this.spine[this.reached];
  }

  /** Whether no further quote or item may stand within. */
  get full() {
    let depth = 0;
    for (let at = 1; at <= this.reached; at += 1) {
      if (this.spine[at].type === "quote" || this.spine[at].type === "item") depth += 1;
    }
    return depth >= DEPTH;
  }

  /** Takes one line, without its end. */
  feed(text) {
    const line = new Line(text);
    this.added = false;
    if (this.#closed(line)) return;
    let begun = CONTAINER;
    if (this.container.type === "code") begun = NOTHING;
    while (begun === CONTAINER) begun = begin(this, line);
    if (begun === NOTHING || this.container.type === "code") this.#place(line);
    this.#note(line);
  }

  // Finds how far the open blocks go on; true when the line ended one of them.
  #closed(line) {
    this.reached = 0;
    for (const node of this.spine.slice(1)) {
      if (closes(node, line)) {
        this.spine.pop();
        this.#note({ blank: false });
        return true;
      }
      if (!goes(node, line)) return false;
      this.reached += 1;
    }
    return false;
  }

  #place(line) {
    const lazy = this.reached < this.spine.length - 1 && !line.blank;
    if (lazy && this.tip.type === "paragraph") {
      line.strip();
      this.tip.lines.push(line.rest());
      this.reached = this.spine.length - 1;
      return;
    }
    this.spine.length = this.reached + 1;
    const { container } = this;
    if (container.type === "code") {
      // The line that opened a fence is none of its own.
      if (!this.added || !container.fence) container.lines.push(line.rest());
    } else if (container.type === "table") {
      if (!this.added) container.children.push({ type: "row", cells: cells(line.rest()), aligned: container.aligned });
    } else if (!line.blank) {
      line.strip();
      if (container.type !== "paragraph") this.add("paragraph");
      this.tip.lines.push(line.rest());
    }
  }

  // Remembers blank lines: they make a list loose once something follows.
  #note(line) {
    let blank = line.blank && !this.added && !(this.tip.type === "code" && this.tip.fence);
    for (let at = this.spine.length - 1; at >= 0; at -= 1) {
      this.spine[at].blank = blank;
      if (this.spine[at].type === "quote") blank = false;
    }
  }

  /** Opens a block where the line stands. */
  add(type, fields) {
    this.spine.length = this.reached + 1;
    while (!holds(this.tip, type)) this.spine.pop();
    const parent = this.tip;
    if (parent.blank && parent.children.length > 0) {
      if (parent.type === "list") parent.loose = true;
      if (parent.type === "item") this.spine.at(-2).loose = true;
    }
    const node = block(type, fields);
    parent.children.push(node);
    this.spine.push(node);
    this.reached = this.spine.length - 1;
    this.added = true;
  }

  /** Puts another block in the place of the innermost one. */
  replace(type, fields) {
    this.spine.pop();
    const node = block(type, fields);
    const { children } = this.tip;
    children[children.length - 1] = node;
    this.spine.push(node);
    this.added = true;
  }

  /** Closes the innermost block. */
  close() {
    this.spine.pop();
    this.reached = this.spine.length - 1;
  }

  /** The line that would make a table of the last one, if that may become one. */
  pending() {
    return this.tip.type === "paragraph" ? delimiter(this.tip.lines.at(-1)) : null;
  }

  /** Notes what cannot change any more, and gives what `back` needs. */
  mark() {
    this.spine.forEach((node, at) => {
      const { children } = node;
      node.firm = children.length - (this.spine[at + 1] === children.at(-1) && children.length ? 1 : 0);
      if (node.type === "code") node.firm = node.fence ? node.lines.length : written(node.lines);
    });
    const kept = this.spine.map((node) => ({
      node,
      fields: { ...node },
      children: node.children.length,
      last: node.children.at(-1),
      lines: node.lines.length,
    }));
    return { kept };
  }

  /** Takes back every line since a mark. */
  back({ kept }) {
    for (const { node, fields, children, last, lines } of kept) {
      Object.assign(node, fields);
      node.children.length = children;
      if (children) node.children[children - 1] = last;
      node.lines.length = lines;
    }
    this.spine = kept.map((it) => it.node);
  }
}

/** How many lines there are up to the last that is not blank. */
export function written(lines) {
  let count = lines.length;
  while (count > 0 && lines[count - 1].trim() === "") count -= 1;
  return count;
}

/** The blocks of a whole text. */
export function blocks(text) {
  const made = new Blocks();
  for (const line of text.split("\n")) made.feed(line.endsWith("\r") ? line.slice(0, -1) : line);
  return made.root;
}
