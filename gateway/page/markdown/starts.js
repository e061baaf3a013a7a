// What begins a block on a line, after CommonMark 0.31 and GFM's tables. Raw
// HTML begins nothing here: it is text. Nor do definitions of references.

import { unescaped } from "./characters.js";
import { trimmed, trimmedEnd } from "./line.js";
import { alignments, cells } from "./table.js";

export const NOTHING = 0;
export const CONTAINER = 1;
export const LEAF = 2;

/** Quotes and items stand within each other so deep; deeper marks are text. */
export const DEPTH = 16;

const SPECIAL = /[#`~*+_=>0-9\-|:]/;
const HEADING = /#{1,6}(?=[ \t]|$)/y;
const FENCE = /`{3,}(?!`)(?!.*`)|~{3,}/y;
const UNDERLINE = /(?:=+|-+)[ \t]*$/y;
const RULE = /(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/y;
const MARKER = /(?:([*+-])|(\d{1,9})([.)]))(?=[ \t]|$)/y;

function match(pattern, line) {
  pattern.lastIndex = line.next;
  return pattern.exec(line.text);
}

function quote(blocks, line) {
  if (line.first !== ">" || blocks.full) return NOTHING;
  line.strip();
  line.skip(1);
  line.indented(1);
  blocks.add("quote");
  return CONTAINER;
}

// A closing row of # counts only after a space.
function titled(text) {
  const title = trimmed(text);
  let to = title.length;
  while (to > 0 && title[to - 1] === "#") to -= 1;
  if (to === 0) return "";
  return to < title.length && /[ \t]/.test(title[to - 1]) ? trimmedEnd(title.slice(0, to)) : title;
}

function heading(blocks, line) {
  const found = match(HEADING, line);
  if (!found) return NOTHING;
  const text = titled(line.text.slice(line.next + found[0].length));
  blocks.add("heading", { level: found[0].length, lines: [text] });
  blocks.close();
  return LEAF;
}

function fence(blocks, line) {
  const found = match(FENCE, line);
  if (!found) return NOTHING;
  const info = unescaped(trimmed(line.text.slice(line.next + found[0].length)));
  blocks.add("code", { fence: found[0], info, indent: line.indent });
  return LEAF;
}

function underline(blocks, line) {
  const found = blocks.container.type === "paragraph" && match(UNDERLINE, line);
  if (!found) return NOTHING;
  const { lines } = blocks.container;
  blocks.replace("heading", { level: found[0][0] === "=" ? 1 : 2, lines });
  blocks.close();
  return LEAF;
}

/** The lines above a head stay a paragraph. */
function table(blocks, line) {
  if (blocks.container.type !== "paragraph") return NOTHING;
  const { lines } = blocks.container;
  const head = lines.at(-1);
  const aligned = alignments(head, line.rest());
  if (!aligned) return NOTHING;
  const fields = { aligned, head: { type: "row", cells: cells(head), aligned } };
  if (lines.length === 1) blocks.replace("table", fields);
  else {
    blocks.container.lines = lines.slice(0, -1);
    blocks.close();
    blocks.add("table", fields);
  }
  return LEAF;
}

function rule(blocks, line) {
  if (!match(RULE, line)) return NOTHING;
  blocks.add("rule");
  blocks.close();
  return LEAF;
}

// Reads past a marker and says how far an item's lines are indented.
function padding(line, width) {
  line.strip();
  line.skip(width);
  const place = line.place();
  const { column } = line;
  const spaces = Math.min(line.indent, 5);
  line.indented(spaces);
  if (spaces >= 1 && spaces < 5 && !line.ended) return width + line.column - column;
  line.back(place);
  line.indented(1);
  return width + 1;
}

function item(blocks, line) {
  const found = match(MARKER, line);
  if (!found || blocks.full) return NOTHING;
  const [mark, bullet, number, delimiter] = found;
  if (blocks.container.type === "paragraph") {
    const empty = trimmed(line.text.slice(line.next + mark.length)) === "";
    if (empty || (number !== undefined && Number(number) !== 1)) return NOTHING;
  }
  const { indent } = line;
  const offset = indent + padding(line, mark.length);
  const kind = bullet ?? delimiter;
  const { container } = blocks;
  if (container.type !== "list" || container.kind !== kind) {
    blocks.add("list", { kind, ordered: !bullet, start: Number(number ?? 1), loose: false });
  }
  blocks.add("item", { offset });
  return CONTAINER;
}

const STARTS = [quote, heading, fence, underline, table, rule, item];

/** Begins the block that the line holds next, if it does. */
export function begin(blocks, line) {
  if (line.indent >= 4) {
    if (line.blank || blocks.tip.type === "paragraph") return NOTHING;
    line.indented(4);
    blocks.add("code", { fence: "", info: "", indent: 0 });
    return LEAF;
  }
  if (line.blank || !SPECIAL.test(line.first)) return NOTHING;
  for (const start of STARTS) {
    const begun = start(blocks, line);
    if (begun !== NOTHING) return begun;
  }
  return NOTHING;
}
