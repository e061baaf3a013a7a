// What a model thought before it spoke, folded. Says no duration: the events say
// none, and what one has waited here is not what it took.

import { element } from "../dom.js";
import { words } from "../words.js";

/** How close to its end one follows it, in pixels. */
const NEAR = 24;

export class ReasoningView {
  #label = element("span");
  #sign = element("span", { class: "dots", "aria-hidden": "true", hidden: true });
  #text = element("div", { class: "thought", tabindex: "0" });
  #shown = "";
  #last = null;

  constructor() {
    this.#text.setAttribute("role", "region");
    this.#text.setAttribute("aria-label", words.reasoning);
    const summary = element("summary", {}, this.#label, this.#sign);
    this.node = element("details", { class: "reasoning", toggle: () => this.#sign.hidden || this.#end() }, summary, this.#text);
  }

  draw(segment, turn, { isLast }) {
    const live = isLast && turn.status === "running" && !turn.stopping;
    const label = live ? words.thinking : words.reasoning;
    if (this.#label.textContent !== label) this.#label.textContent = label;
    this.#sign.hidden = !live;
    if (segment.text === this.#shown) return;
    const follows = this.node.open && this.#isNear;
    this.#write(segment.text);
    if (follows) this.#end();
  }

  /** Adds what is new: paragraphs that have ended are not touched again. */
  #write(text) {
    if (!text.startsWith(this.#shown)) {
      this.#text.replaceChildren();
      this.#last = null;
      this.#shown = "";
    }
    const added = text.slice(this.#shown.length);
    this.#shown = text;
    added.split("\n").forEach((piece, at) => {
      if (at > 0 || !this.#last) {
        this.#last = document.createTextNode("");
        this.#text.append(element("p", {}, this.#last));
      }
      this.#last.appendData(piece);
    });
  }

  get #isNear() {
    return this.#text.scrollHeight - this.#text.scrollTop - this.#text.clientHeight < NEAR;
  }

  #end() {
    this.#text.scrollTop = this.#text.scrollHeight;
  }
}
