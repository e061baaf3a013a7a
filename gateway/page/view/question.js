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
    if (!editable) this.#close();
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
    this.#editor = element("form", { class: "edit", submit: send, keydown: (event) => event.key === "Escape" && leave() },
      text,
      element("p", { class: "hint" }, words.replaces),
      element("button", { type: "button", class: "quiet", click: leave }, words.cancel),
      element("button", { type: "submit", class: "strong" }, words.askAgain));
    this.#bubble.hidden = true;
    this.#tools.hidden = true;
    this.node.append(this.#editor);
    text.focus();
  }

  #close() {
    this.#editor?.remove();
    this.#editor = null;
    this.#bubble.hidden = false;
    this.#tools.hidden = false;
  }
}
