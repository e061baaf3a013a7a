// A model's Markdown as nodes, drawn again and again while it grows: a frame
// costs what its unfinished end costs. Whatever the text, nothing of it becomes
// markup, is fetched or is followed by itself.

import { Blocks } from "./blocks.js";
import { inlines } from "./inline.js";
import { draw, loosen, root } from "./nodes.js";
import { nodes } from "./spans.js";
import { words } from "../words.js";

const states = new WeakMap();
// What a line may begin with says nothing before the rest has come.
const WAITING = /^[\s>*+=_~`#|:-]*$/;

function fresh(parent) {
  return { blocks: new Blocks(), view: root(parent), fed: "", mark: null, shown: null };
}

function state_of(parent) {
  let state = states.get(parent);
  // Whoever emptied the parent has taken what was drawn.
  const lost = state?.view.children.some((it, at) => at === 0 && it.element.parentNode !== parent);
  if (!state || lost) {
    state = fresh(parent);
    states.set(parent, state);
  }
  return state;
}

// Blocks of a text that may have grown, shrunk or become another one.
function feed(state, text, growing) {
  // Far faster than `startsWith`, which looks at one character at a time.
  if (text.slice(0, state.fed.length) !== state.fed) {
    loosen(state.view);
    Object.assign(state, { blocks: new Blocks(), fed: "", mark: null });
  } else if (state.mark) state.blocks.back(state.mark);
  const { blocks } = state;
  const end = text.lastIndexOf("\n") + 1;
  if (end > state.fed.length) {
    for (const line of text.slice(state.fed.length, end - 1).split("\n")) blocks.feed(apart(ended(line)));
    state.fed = text.slice(0, end);
  }
  state.mark = blocks.mark();
  const rest = ended(text.slice(end));
  if (rest && !(growing && WAITING.test(rest))) blocks.feed(rest);
  const delimiter = growing ? blocks.pending() : null;
  if (delimiter) blocks.feed(delimiter);
}

// A piece of a text keeps all of it in memory, once for each frame; a copy does not.
function apart(line) {
  return line.split("").join("");
}

function ended(line) {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}

// The last block, where text is still to come to it.
function open(root_block) {
  let node = root_block;
  while (node.children?.length) {
    const at = node.children.length - 1;
    if (at < node.firm) return null;
    node = node.children[at];
  }
  return node.type === "table" ? node.head : node;
}

/** Draws `text` in `parent`, touching only what changed since the last call
 *  with the same parent. `link(number)` makes the node for a source's mark or
 *  gives null; `generation` changes when its answers do. `growing` says that
 *  more is to come: what has begun is then shown as if it had ended. */
export function show(parent, text, { link, generation = 0, growing = false } = {}) {
  const state = state_of(parent);
  const key = { text, generation, growing };
  const before = state.shown;
  if (before && Object.keys(key).every((it) => before[it] === key[it])) return;
  state.shown = key;
  feed(state, text, growing);
  if (before && before.generation !== generation) loosen(state.view);
  const context = { link, generation, words, open: growing ? open(state.blocks.root) : null };
  parent.classList.add("markdown");
  draw(state.view, state.blocks.root, { done: false, context });
}

/** Nodes of what stands within one line. */
export function inline(text, link) {
  return nodes(inlines(text), { link, generation: 0, words });
}
