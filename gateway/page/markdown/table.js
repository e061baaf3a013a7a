// Rows of tables: cells, and the line below the head that makes a table of it.

import { trimmed } from "./line.js";

/** More columns than this are no table. */
export const COLUMNS = 128;
const DELIMITER = /^:?-+:?$/;

/** The cells of a line, or so many of them as a table may have. */
export function cells(line) {
  const text = trimmed(line);
  const found = [];
  let cell = "";
  let from = text[0] === "|" ? 1 : 0;
  for (let at = from; at < text.length && found.length <= COLUMNS; at += 1) {
    if (text[at] === "\\" && at + 1 < text.length) {
      // A pipe that is meant stands without its backslash, in code as well.
      if (text[at + 1] === "|") {
        cell += text.slice(from, at);
        from = at + 1;
      }
      at += 1;
    } else if (text[at] === "|") {
      found.push(trimmed(cell + text.slice(from, at)));
      cell = "";
      from = at + 1;
    }
  }
  const last = trimmed(cell + text.slice(from));
  if (last || !text.endsWith("|") || text.endsWith("\\|")) found.push(last);
  return found;
}

function alignment(cell) {
  if (cell.startsWith(":")) return cell.endsWith(":") ? "center" : "left";
  return cell.endsWith(":") ? "right" : "";
}

/** The alignments that a line below a head states, or null. */
export function alignments(head, line) {
  if (!/[|:]/.test(line) || !/^[-:| \t]+$/.test(line) || !line.includes("-")) return null;
  const stated = cells(line);
  if (stated.length > COLUMNS || !stated.every((it) => DELIMITER.test(it))) return null;
  return cells(head).length === stated.length ? stated.map(alignment) : null;
}

/** The line that would make a table of a head, while it has not come yet. */
export function delimiter(head) {
  if (!head.startsWith("|") || trimmed(head).length < 3) return null;
  const count = cells(head).length;
  return count > COLUMNS || !head.slice(1).includes("|") ? null : `|${"-|".repeat(count)}`;
}
