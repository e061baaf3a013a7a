// Addresses in a text: which may be followed (http, https, mailto), where one
// ends, and what a reader must be told about it. Refuses all others.

import { HIDDEN, seen, unescaped } from "./characters.js";

/** Longer addresses are text; so is what follows a longer title. */
export const LONGEST = 4096;
const TITLE = 1024;
const PARENTHESES = 32;

const FOLLOWED = /^(?:https?:\/\/|mailto:)/i;
const ANGLE = /<((?:[^<>\n\\]|\\.)*)>/y;
const TITLED = /(?:"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|\((?:[^()\\]|\\[^])*\))/y;
const BARE = new RegExp(
  `https?:\\/\\/[^\\s<>"\`*[\\]\\u3000-\\u303f\\uff00-\\uffef\u201c\u201d\u2018\u2019\u2026\u2014${HIDDEN}]{1,${LONGEST + 1}}`,
  "iuy",
);
const AFTER = new Set("?!.,:;_~'");
// Something with dots that ends like the name of a host, or four numbers.
const NAME = /\.\p{L}[\p{L}\p{N}-]+\.?$|^\d{1,3}(?:\.\d{1,3}){3}$/u;
const BETWEEN_NAMES = /[^\p{L}\p{N}._-]+/u;

/** The address that a text states, as a URL, or null where it is not followed. */
export function address(text) {
  if (text.length > LONGEST || !FOLLOWED.test(text)) return null;
  try {
    const url = new URL(text);
    const web = url.protocol === "http:" || url.protocol === "https:";
    return (web && url.hostname) || url.protocol === "mailto:" ? url : null;
  } catch {
    return null;
  }
}

function spaces(text, at) {
  while (at < text.length && /[ \t\n]/.test(text[at])) at += 1;
  return at;
}

function angled(text, at) {
  ANGLE.lastIndex = 0;
  const found = ANGLE.exec(text.slice(at, at + LONGEST));
  return found && { target: found[1], end: at + found[0].length };
}

function bracketed(text, from) {
  let depth = 0;
  let at = from;
  for (; at < text.length && at - from <= LONGEST; at += 1) {
    const character = text[at];
    if (character === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "")) at += 1;
    else if (character <= " " || character === "\x7f") break;
    else if (character === "(" && (depth += 1) > PARENTHESES) return null;
    else if (character === ")" && (depth -= 1) < 0) break;
  }
  return depth > 0 ? null : { target: text.slice(from, at), end: at };
}

/** What stands in parentheses behind a link's text: its target and its end. */
export function target(text, open) {
  if (text[open] !== "(") return null;
  const at = spaces(text, open + 1);
  const found = text[at] === "<" ? angled(text, at) : bracketed(text, at);
  if (!found) return null;
  let end = spaces(text, found.end);
  if (end > found.end && /["'(]/.test(text[end] ?? "")) {
    TITLED.lastIndex = 0;
    const title = TITLED.exec(text.slice(end, end + TITLE));
    if (!title) return null;
    end = spaces(text, end + title[0].length);
  }
  return text[end] === ")" ? { target: unescaped(found.target), end: end + 1 } : null;
}

/** The bare address at a place, without the punctuation that follows it and
 *  up to a parenthesis that it does not open. */
export function bare(text, at) {
  BARE.lastIndex = at;
  const found = BARE.exec(text)?.[0] ?? "";
  let end = unopened(found);
  while (end > 0 && AFTER.has(found[end - 1])) end -= 1;
  // An entity behind an address is none of it.
  const entity = text[at + end] === ";" ? /&[a-zA-Z0-9]+$/.exec(found.slice(Math.max(0, end - 33), end)) : null;
  return found.slice(0, entity ? entity.index + Math.max(0, end - 33) : end);
}

function unopened(found) {
  let depth = 0;
  for (let at = 0; at < found.length; at += 1) {
    if (found[at] === "(") depth += 1;
    else if (found[at] === ")" && (depth -= 1) < 0) return at;
    else if (found.startsWith("~~", at)) return at;
  }
  return found.length;
}

const host = (url) => (url.protocol === "mailto:" ? url.pathname.split("@").at(-1) : url.hostname);
const same = (name) => name.toLowerCase().replace(/^www\./, "").replace(/\.$/, "");

function spelled(name) {
  try {
    return new URL(`http://${name}`).hostname;
  } catch {
    return name;
  }
}

/** The host to show beside a link: where its text names another address than
 *  it leads to, or its name could be read as another one. */
export function beside(text, url) {
  const real = host(url);
  const odd = real.split(".").some((it) => it.startsWith("xn--"));
  const shown = seen(text).normalize("NFKC").replace(/(?<=[a-z0-9])\u3002(?=[a-z0-9])/gi, ".").slice(0, LONGEST);
  const names = shown.split(BETWEEN_NAMES).filter((it) => NAME.test(it));
  const others = names.slice(0, 32).some((it) => same(spelled(it)) !== same(real));
  return odd || (others && !own(shown, url)) ? real : "";
}

// An address shown as it is may well name files: example.org/index.html.
function own(shown, url) {
  const stated = address(shown.trim()) ?? address(`${url.protocol}//${shown.trim()}`);
  return stated !== null && !stated.username && !url.username && same(host(stated)) === same(host(url));
}
