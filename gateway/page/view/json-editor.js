// Where a person changes a call's arguments: checked with each letter, with what
// differs from what was asked below it. Gives nothing that is no JSON object.

import { element } from "../dom.js";
import { differences, hunks } from "../model/diff.js";
import { compact, indented, same, visible, wrong } from "../model/json.js";
import { words } from "../words.js";

/** The longest arguments that the server takes, in bytes. */
const MOST_BYTES = 64 * 1024;

const WRONG = {
  value: words.jsonValue,
  name: words.jsonName,
  colon: words.jsonColon,
  comma: words.jsonComma,
  number: words.jsonNumber,
  open: words.jsonOpen,
  escape: words.jsonEscape,
  control: words.jsonControl,
  twice: words.jsonTwice,
  deep: words.jsonDeep,
  more: words.jsonMore,
  end: words.jsonEnd,
  object: words.jsonObject,
};

const bytes = (text) => new TextEncoder().encode(text).length;

let count = 0;

export class JsonEditor {
  #original;
  #changed;
  #text = element("textarea", { class: "json", spellcheck: "false", autocapitalize: "off", autocomplete: "off", rows: "4" });
  #state = element("p", { class: "check", "aria-live": "polite" });
  #restore = element("button", { type: "button", class: "quiet", click: () => this.#reset() }, words.restore);
  #changes = element("div", { class: "changes", hidden: true });

  /** `changed()` is called whenever what stands there is another. */
  constructor(original, changed) {
    this.#original = original;
    this.#changed = changed;
    this.#text.value = indented(original) ?? visible(original);
    this.#text.setAttribute("aria-label", words.editArguments);
    this.#state.id = `check-${(count += 1)}`;
    this.#text.setAttribute("aria-describedby", this.#state.id);
    this.#text.addEventListener("input", () => this.#typed());
    this.node = element("div", { class: "editor" }, this.#text,
      element("div", { class: "check-row" }, this.#state, this.#restore), this.#changes);
    this.#draw();
  }

  focus() {
    this.#text.focus();
    this.#text.setSelectionRange(0, 0);
  }

  /** Whether what stands there may be sent. */
  get isRight() {
    return !this.#problem();
  }

  get isChanged() {
    return !same(this.#text.value, this.#original);
  }

  /** The arguments as JSON text; of unchanged ones the very text that was asked. */
  get value() {
    return this.isChanged ? compact(this.#text.value) : this.#original;
  }

  #typed() {
    this.#draw();
    this.#changed();
  }

  #reset() {
    this.#text.value = indented(this.#original) ?? visible(this.#original);
    this.#typed();
    this.focus();
  }

  /** What is wrong, in words; nothing where all is right. */
  #problem() {
    const found = wrong(this.#text.value);
    if (found) return words.jsonAt(WRONG[found.what], found.line, found.column);
    const size = bytes(compact(this.#text.value));
    return size > MOST_BYTES ? words.jsonLong(size, MOST_BYTES) : "";
  }

  #draw() {
    const problem = this.#problem();
    const changed = this.isChanged;
    const told = problem || (changed ? words.jsonChanged : words.jsonSame);
    if (this.#state.textContent !== told) this.#state.textContent = told;
    this.#state.classList.toggle("bad", Boolean(problem));
    this.#text.setAttribute("aria-invalid", String(Boolean(problem)));
    this.#restore.disabled = !changed && !problem;
    this.#compare(changed && !problem);
  }

  #compare(shown) {
    this.#changes.hidden = !shown;
    if (!shown) return;
    const before = indented(this.#original) ?? visible(this.#original);
    const lines = hunks(differences(before, indented(this.#text.value)));
    const list = element("pre", { tabindex: "0", role: "region", "aria-label": words.changes }, ...lines.map(lineOf));
    this.#changes.replaceChildren(element("span", { class: "changes-title" }, words.changes), list);
  }
}

const SIGNS = { same: "  ", gone: "− ", come: "+ " };

function lineOf({ kind, text, count: left }) {
  if (kind === "skipped") return element("span", { class: "skipped" }, `${words.sameLines(left)}\n`);
  const name = { same: "span", gone: "del", come: "ins" }[kind];
  return element(name, {}, `${SIGNS[kind]}${text}\n`);
}
