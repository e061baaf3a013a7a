// What stands within a paragraph, a heading or a cell, as a tree: text, code,
// emphasis, links, marks of sources, breaks. After CommonMark 0.31 and GFM's
// addresses; raw HTML is text, images are links, references do not exist.
// Near-linear in the text's length, whatever the text is.

import { entity } from "./characters.js";
import { around, Chain, plain, run, Runs } from "./emphasis.js";
import { address, bare, beside, target } from "./links.js";
import { trimmedEnd } from "./line.js";

const SPECIAL = /[\n\\`*_~[\]!<&]|(?<![a-zA-Z0-9])https?:\/\//gi;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const AUTOLINK = /<([a-z][a-z0-9+.-]{1,31}:[^\s<>]*)>/iy;
const MAIL = /<([a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9][a-z0-9.-]{0,253})>/iy;
const UNFINISHED = /\([^\s)]*$/y;

class Scan {
  constructor(text, open) {
    this.text = text;
    this.open = open;
    this.at = 0;
    this.chain = new Chain();
    this.runs = new Runs(this.chain);
    this.brackets = [];
    /** Brackets below this one hold a link, so that they begin none. */
    this.dead = 0;
    this.ticks = null;
  }

  tree() {
    while (this.at < this.text.length) {
      SPECIAL.lastIndex = this.at;
      const found = SPECIAL.exec(this.text);
      this.say(this.text.slice(this.at, found ? found.index : this.text.length));
      if (!found) break;
      this.at = found.index;
      this.special(found[0][0]);
    }
    this.runs.pair(this.runs.floor);
    if (this.open) this.runs.assume();
    return this.chain.cut(this.chain.head);
  }

  say(text) {
    if (text) this.chain.push({ type: "text", text });
  }

  /** Takes so many characters as they are. */
  literal(count) {
    this.say(this.text.slice(this.at, this.at + count));
    this.at += count;
  }

  special(character) {
    switch (character) {
      case "\n": return this.newline();
      case "\\": return this.escape();
      case "`": return this.code();
      case "[": return this.bracket(false);
      case "]": return this.close();
      case "!": return this.text[this.at + 1] === "[" ? this.bracket(true) : this.literal(1);
      case "<": return this.autolink();
      case "&": return this.entity();
      case "h": case "H": return this.bare();
      default: return this.run();
    }
  }

  newline() {
    const { last } = this.chain;
    if (last.type === "text") last.text = unspaced(last.text);
    this.chain.push({ type: "break" });
    this.at += 1;
    while (/[ \t]/.test(this.text[this.at] ?? "")) this.at += 1;
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === "\n") this.at += 1;
    else if (next !== undefined && ESCAPABLE.test(next)) {
      this.say(next);
      this.at += 2;
    } else this.literal(1);
  }

  entity() {
    const found = entity(this.text, this.at);
    if (!found) return this.literal(1);
    this.say(found.text);
    this.at += found.length;
  }

  run() {
    const item = this.chain.push(run(this.text, this.at));
    this.at += item.count;
    if (item.opens || item.closes) this.runs.push(item);
  }

  code() {
    let end = this.at;
    while (this.text[end] === "`") end += 1;
    const length = end - this.at;
    let close = this.closing(length, end);
    if (close < 0) {
      if (!this.open || length > 2 || end >= this.text.length) return this.literal(length);
      close = this.text.length;
    }
    const text = this.text.slice(end, close).replaceAll("\n", " ");
    const padded = text.startsWith(" ") && text.endsWith(" ") && /[^ ]/.test(text);
    this.chain.push({ type: "code", text: padded ? text.slice(1, -1) : text });
    this.at = Math.min(close + length, this.text.length);
  }

  // Where the next run of so many backticks begins. Runs are found once, and
  // passed once for each length.
  closing(length, from) {
    if (!this.ticks) {
      this.ticks = new Map();
      for (const { 0: run_of, index } of this.text.matchAll(/`+/g)) {
        const places = this.ticks.get(run_of.length) ?? { at: 0, list: [] };
        places.list.push(index);
        this.ticks.set(run_of.length, places);
      }
    }
    const places = this.ticks.get(length);
    if (!places) return -1;
    while (places.at < places.list.length && places.list[places.at] < from) places.at += 1;
    return places.list[places.at] ?? -1;
  }

  bracket(image) {
    const item = this.chain.push({ type: "text", text: image ? "![" : "[" });
    this.brackets.push({ item, image, at: this.at, bottom: this.runs.top });
    this.at += item.text.length;
  }

  close() {
    const opener = this.brackets.pop();
    const dead = this.brackets.length < this.dead;
    this.dead = Math.min(this.dead, this.brackets.length);
    if (!opener || (dead && !opener.image)) return this.literal(1);
    if (this.link(opener) || this.mark(opener) || this.beginning(opener)) return undefined;
    return this.literal(1);
  }

  link(opener) {
    const found = target(this.text, this.at + 1);
    if (!found) return false;
    const url = address(found.target);
    // An image that nobody may follow is what it shows.
    if (!url && (!opener.image || this.at - opener.at <= 2)) return false;
    const children = unlinked(this.inside(opener));
    if (!url) children.forEach((it) => this.chain.push({ ...it }));
    else {
      if (children.length === 0) children.push({ type: "text", text: url.href });
      this.chain.push(linked(url, children));
      if (!opener.image) this.dead = this.brackets.length;
    }
    this.at = found.end;
    return true;
  }

  // Takes out what stands behind an opening bracket, and the bracket.
  inside(opener) {
    this.runs.pair(opener.bottom);
    this.runs.clear(opener.bottom);
    const children = this.chain.cut(opener.item);
    this.chain.remove(opener.item);
    return children;
  }

  mark(opener) {
    const length = this.at - opener.at - 1;
    const digits = length > 3 ? "" : this.text.slice(opener.at + 1, this.at);
    if (opener.image || !/^\d{1,3}$/.test(digits)) return false;
    this.inside(opener);
    this.chain.push({ type: "mark", number: Number(digits), text: `[${digits}]` });
    this.at += 1;
    return true;
  }

  // A link whose address has only begun to come shows as its text.
  beginning(opener) {
    UNFINISHED.lastIndex = this.at + 1;
    if (!this.open || !UNFINISHED.test(this.text)) return false;
    unlinked(this.inside(opener)).forEach((it) => this.chain.push({ ...it }));
    this.at = this.text.length;
    return true;
  }

  autolink() {
    for (const [pattern, scheme] of [[AUTOLINK, ""], [MAIL, "mailto:"]]) {
      pattern.lastIndex = this.at;
      const found = pattern.exec(this.text);
      const url = found && address(scheme + found[1]);
      if (!url) continue;
      this.chain.push(linked(url, [{ type: "text", text: found[1] }]));
      this.at += found[0].length;
      return;
    }
    this.literal(1);
  }

  bare() {
    const text = bare(this.text, this.at);
    const url = address(text);
    if (!url) return this.literal(Math.max(text.length, 1));
    this.chain.push(linked(url, [{ type: "text", text }]));
    this.at += text.length;
  }
}

// Only spaces: a tab before a line's end is a tab.
function unspaced(text) {
  let end = text.length;
  while (text[end - 1] === " ") end -= 1;
  return text.slice(0, end);
}

function linked(url, children) {
  return around("link", children, { href: url.href, host: beside(plain(children), url) });
}

// Links do not stand within links.
function unlinked(nodes) {
  return nodes.flatMap((it) => {
    if (it.type === "link") return unlinked(it.children);
    if (it.type === "mark") return [{ type: "text", text: it.text }];
    return it.children ? [{ ...it, children: unlinked(it.children) }] : [it];
  });
}

/** The tree of a text. A text that is `open` is still growing: what it has
 *  begun is shown as if it had ended, and marks that say nothing yet wait. */
export function inlines(text, { open = false } = {}) {
  const whole = open ? waiting(text) : trimmedEnd(text);
  return new Scan(whole, open).tree();
}

function waiting(text) {
  let end = text.length;
  while (end > 0 && /[*_~` \t[]/.test(text[end - 1])) end -= 1;
  return text[end - 1] === "\\" ? text : text.slice(0, end);
}
