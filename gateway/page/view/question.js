// What a person asked, and a box in which it is asked differently.

import { element, iconButton } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";

export class QuestionView {
  #bubble = element("div", { class: "question" });
  #tools = element("div", { class: "tools" });
  #editor = null;
  #turn = null;

  constructor(can) {
    this.can = can;
    this.node = element("div", { class: "asked" }, this.#bubble, this.#tools);
    this.#bubble.setAttribute("role", "group");
    this.#bubble.setAttribute("aria-label", words.you);
  }

  draw(turn, context) {
    this.#turn = turn;
    this.node.hidden = !turn.input;
    if (this.#bubble.textContent !== turn.input) this.#bubble.textContent = turn.input;
    const editable = context.quiet && !turn.isLocal && !turn.resumes;
    if (this.#editor) this.#allow(editable);
    if (Boolean(this.#tools.firstChild) === editable) return;
    this.#tools.replaceChildren(...(editable ? [iconButton(icon("edit"), words.edit, () => this.#open())] : []));
  }

  #open() {
    if (this.#editor) return;
    const text = element("textarea", { "aria-label": words.editing, rows: "3" });
    text.value = this.#turn.input;
    const send = (event) => {
      event.preventDefault();
      const input = text.value;
      if (!input.trim()) return;
      this.#close();
      this.can.replace(this.#turn, input);
    };
    const leave = () => {
      this.#close();
      this.#tools.querySelector("button")?.focus();
    };
    // While a word is being composed, Escape belongs to the input method.
    const typed = (event) => event.key === "Escape" && !event.isComposing && leave();
    this.#editor = element("form", { class: "edit", submit: send, keydown: typed },
      text,
      element("p", { class: "hint", role: "status" }, words.replaces),
      element("button", { type: "button", class: "quiet", click: leave }, words.cancel),
      element("button", { type: "submit", class: "strong" }, words.askAgain));
    this.#bubble.hidden = true;
    this.#tools.hidden = true;
    this.node.append(this.#editor);
    text.focus();
  }

  /** What one has written stays when something else is being answered. */
  #allow(editable) {
    this.#editor.querySelector("[type=submit]").disabled = !editable;
    const hint = editable ? words.replaces : words.editLater;
    const node = this.#editor.querySelector(".hint");
    if (node.textContent !== hint) node.textContent = hint;
  }

  #close() {
    this.#editor?.remove();
    this.#editor = null;
    this.#bubble.hidden = false;
    this.#tools.hidden = false;
  }
}
