// One turn as it is seen: the question, what was said in its order, what can be
// done with it. Everything that a model or a person said goes in as text.

import { element } from "../dom.js";
import { show } from "../markdown/show.js";
import { words } from "../words.js";
import { actions } from "./actions.js";
import { ending } from "./ending.js";
import { QuestionView } from "./question.js";
import { ReasoningView } from "./reasoning.js";
import { SourcesView } from "./sources.js";
import { ToolView } from "./tool.js";

/** Draws a turn again and again; touches only what has changed. */
export class TurnView {
  #question;
  #body = element("div", { class: "body" });
  #end = element("div", { class: "end" });
  #sources;
  #segments = [];
  #drawn = {};

  /** `can`: what a person can do with it, as `view/conversation.js` says. */
  constructor(can) {
    this.can = can;
    this.#question = new QuestionView(can);
    this.#sources = new SourcesView();
    this.node = element("li", { class: "turn" }, this.#question.node, this.#body, this.#sources.node, this.#end);
  }

  draw(turn, context) {
    this.node.classList.toggle("running", turn.status === "running" && !turn.stopping);
    this.node.setAttribute("aria-busy", String(turn.isActive));
    this.node.dataset.status = turn.status;
    this.#question.draw(turn, context);
    this.#sources.draw(turn);
    this.#draw(turn, context.stands);
    this.#redraw(this.#end, [turn.status, turn.stopping, turn.unstoppable, turn.detail, turn.usage, turn.refused, context], () => [
      ...ending(turn, context, this.can),
      ...actions(turn, context, this.can),
    ]);
  }

  /** One view for each segment; those that are gone leave. */
  #draw(turn, stands) {
    turn.segments.forEach((segment, at) => {
      let view = this.#segments[at];
      if (view?.kind !== segment.kind) {
        view?.node.remove();
        view = this.#view(segment.kind);
        this.#segments[at] = view;
        this.#body.insertBefore(view.node, this.#body.children[at] ?? null);
      }
      view.draw(segment, turn, { isLast: at === turn.segments.length - 1, stands });
    });
    for (const view of this.#segments.splice(turn.segments.length)) view.node.remove();
  }

  #view(kind) {
    if (kind === "reasoning") return Object.assign(new ReasoningView(), { kind });
    if (kind === "tool") return Object.assign(new ToolView(), { kind });
    return new TextView(this.#sources);
  }

  /** Draws a part anew only when what it shows has changed, so that focus stays. */
  #redraw(parent, what, make) {
    const key = JSON.stringify(what, (name, value) => (value instanceof Error ? value.message : value));
    if (this.#drawn[parent.className] === key) return;
    this.#drawn[parent.className] = key;
    const focused = [...parent.querySelectorAll("button")].indexOf(document.activeElement);
    parent.replaceChildren(...make());
    if (focused >= 0) parent.querySelectorAll("button")[focused]?.focus();
  }
}

/** A piece of the answer. */
class TextView {
  kind = "text";
  #sources;

  constructor(sources) {
    this.#sources = sources;
    this.node = element("div", { class: "answer" });
    this.node.setAttribute("aria-label", words.answer);
    this.node.setAttribute("role", "group");
  }

  draw(segment, turn, { isLast }) {
    const growing = isLast && turn.status === "running" && !turn.stopping;
    this.node.classList.toggle("growing", growing);
    const link = (number) => this.#sources.mark(number);
    show(this.node, segment.text, { link, generation: turn.citations.length, growing });
  }
}
