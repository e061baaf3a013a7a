// The places that an answer names, and the marks in its text that lead there.
// Shows what was taken from a document; fetches nothing of it.

import { element } from "../dom.js";
import { words } from "../words.js";
import { passage, told } from "./passage.js";
import { preview } from "./preview.js";

export class SourcesView {
  #list = element("ol");
  #entries = new Map();
  #citations = new Map();
  #drawn = "[]";

  constructor() {
    this.node = element("section", { class: "sources", hidden: true, "aria-label": words.sources },
      element("h3", {}, words.sources), this.#list);
  }

  draw(turn) {
    const citations = turn.citations;
    const key = JSON.stringify(citations);
    if (this.#drawn === key) return;
    this.#drawn = key;
    const open = [...this.#entries].filter(([, it]) => it.open).map(([number]) => number);
    this.#citations = new Map(citations.map((it) => [it.number, it]));
    this.#entries = new Map(citations.map((it) => [it.number, this.#entry(it)]));
    for (const number of open) this.#entries.get(number)?.toggleAttribute("open", true);
    this.#list.replaceChildren(...[...this.#entries.values()].map((it) => element("li", {}, it)));
    this.node.hidden = !citations.length;
  }

  /** The node for `[number]` in a text; `null` where that is no source. */
  mark(number) {
    const citation = this.#citations.get(number);
    if (!citation) return null;
    const label = words.sourceMark(number, told(citation).name);
    const mark = element("button", {
      type: "button", class: "mark", "data-source": number, title: told(citation).name,
      "aria-label": label, "aria-haspopup": "dialog", "aria-expanded": "false",
    }, String(number));
    const open = () => preview(mark, this.#citations.get(number) ?? citation, () => this.#show(number));
    mark.addEventListener("click", open);
    return mark;
  }

  /** Goes from a mark to its entry below. */
  #show(number) {
    const entry = this.#entries.get(number);
    if (!entry) return;
    entry.open = true;
    entry.querySelector("summary").focus();
    entry.scrollIntoView({ block: "nearest" });
  }

  /** Where the text names a source first. */
  #first(number) {
    return this.node.parentNode?.querySelector(`.mark[data-source="${number}"]`) ?? null;
  }

  #back(number) {
    const mark = this.#first(number);
    mark?.focus();
    mark?.scrollIntoView({ block: "center" });
  }

  #entry(citation) {
    const { number, quote } = citation;
    const { name, file, lines } = told(citation);
    const summary = element("summary", {}, element("span", { class: "number" }, String(number)),
      element("span", { class: "place" }, element("span", { class: "what" }, name),
        element("span", { class: "where" }, [file, lines].filter(Boolean).join(" · "))));
    const back = element("button", { type: "button", class: "quiet back", hidden: true, click: () => this.#back(number) }, words.toText);
    const inside = element("div", { class: "source-entry" }, quote ? passage(quote) : element("p", {}, words.noPassage), back);
    const toggle = () => { back.hidden = !this.#first(number); };
    return element("details", { "data-source": number, toggle }, summary, inside);
  }
}
