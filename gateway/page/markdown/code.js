// A block of code: its language and a button that copies it. What is copied
// is what is seen.

import { copy } from "../clipboard.js";
import { announce, element } from "../dom.js";
import { code } from "./characters.js";
import { written } from "./blocks.js";

/** A language's name is shown up to here. */
const LANGUAGE = 40;
/** How long a button says what came of it, in milliseconds. */
const TOLD = 2000;

function button(text, words) {
  let timer = 0;
  const made = element("button", { type: "button", class: "copy" }, words.copy);
  made.addEventListener("click", async () => {
    const said = (await copy(text.data)) ? words.copied : words.uncopied;
    made.textContent = said;
    announce(said);
    clearTimeout(timer);
    timer = setTimeout(() => {
      made.textContent = words.copy;
    }, TOLD);
  });
  return made;
}

/** Begins the view of a block of code. */
export function begun({ words }) {
  const text = document.createTextNode("");
  const language = element("span", { class: "language" });
  const inner = element("code", {}, text);
  const box = element("pre", { tabindex: "0", role: "group" }, inner);
  const head = element("div", { class: "code-head" }, language, button(text, words));
  return { element: element("div", { class: "code" }, head, box), box, text, language, firmLines: 0, firmLength: 0 };
}

// Lines as they are joined: each but the first after a line's end.
function joined(lines, from, to) {
  const text = code(lines.slice(from, to).join("\n"));
  return from > 0 && to > from ? `\n${text}` : text;
}

/** Writes the lines that came since; those that are firm are not read again. */
export function refresh(view, node, context) {
  const language = node.info.split(/\s/, 1)[0].slice(0, LANGUAGE);
  const shown = code(language);
  if (view.language.textContent !== shown || !view.named) {
    view.named = true;
    view.language.textContent = shown;
    view.box.setAttribute("aria-label", shown ? context.words.codeIn(shown) : context.words.code);
  }
  const { lines } = node;
  const firm = Math.max(Math.min(node.firm, lines.length), view.firmLines);
  const settled = joined(lines, view.firmLines, firm);
  const rest = joined(lines, firm, node.fence ? lines.length : Math.max(written(lines), firm));
  const { text } = view;
  const tail = settled + rest;
  const old = text.data.slice(view.firmLength);
  if (tail.startsWith(old)) text.appendData(tail.slice(old.length));
  else text.replaceData(view.firmLength, old.length, tail);
  view.firmLines = firm;
  view.firmLength += settled.length;
}
