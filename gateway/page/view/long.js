// A text of a machine: indented where it is JSON, as it is where not, bounded in
// height and in length. Nothing in it is hidden, and nothing in it is followed.

import { element } from "../dom.js";
import { indented, visible } from "../model/json.js";
import { words } from "../words.js";
import { copyButton } from "./copying.js";

/** What is shown before one asks for all, in characters. */
const MOST = 20_000;

export class LongText {
  #label;
  #text = null;
  #pre = element("pre", { tabindex: "0" });
  #more = element("button", { type: "button", class: "quiet", hidden: true, click: () => this.#all() });

  /** `whole`: it is never cut, because somebody decides about it. */
  constructor(label, { whole = false } = {}) {
    this.#label = label;
    this.whole = whole;
    this.#pre.setAttribute("role", "region");
    this.#pre.setAttribute("aria-label", label);
    const copy = copyButton(words.copyOf(label), () => this.#text ?? "");
    const head = element("div", { class: "long-head" }, element("span", {}, label), copy);
    this.node = element("div", { class: "long" }, head, this.#pre, this.#more);
  }

  draw(text) {
    if (this.#text === text) return;
    this.#text = text;
    this.node.hidden = !text;
    const shown = indented(text) ?? visible(text);
    const cut = !this.whole && shown.length > MOST;
    this.#pre.textContent = cut ? shown.slice(0, MOST) : shown;
    this.#more.hidden = !cut;
    this.#more.textContent = words.showAll(words.size(shown.length));
  }

  #all() {
    this.#pre.textContent = indented(this.#text) ?? visible(this.#text);
    this.#more.hidden = true;
    this.#pre.focus();
  }
}
