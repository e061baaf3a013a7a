// The list of turns as it is seen, and what waits for a human below it.

import { byId } from "../dom.js";
import { standing } from "../model/call.js";
import { ReviewView } from "./review.js";
import { TurnView } from "./turn.js";

/** The most of an answer that is read out by itself, in characters. */
const SPOKEN = 2_000;

/**
 * `can`: `retry(turn)`, `forget(turn)`, `stop(turn)`, `replace(turn, input)`,
 * `again(turn)`, `origin(turn)` (the turn whose question it answers, if that can
 * be asked again), `decide(turnId, decisions)`.
 */
export class ConversationView {
  #can;
  #list = byId("conversation");
  #views = new Map();
  #review;

  constructor(can) {
    this.#can = can;
    this.#review = new ReviewView((...all) => can.decide(...all));
    this.#list.after(this.#review.node);
  }

  clear() {
    this.#views.clear();
    this.#list.replaceChildren();
    this.#review.draw(null);
  }

  /** Draws these turns of the conversation, or all and their order. */
  draw(conversation, dirty, depth) {
    const turns = conversation.turns;
    const quiet = !conversation.active;
    turns.forEach((turn, at) => {
      const view = this.#views.get(turn);
      if (view && dirty && !dirty.has(turn)) return;
      const shown = view ?? this.#add(turn);
      const isLast = at === turns.length - 1;
      const before = turn.status === "queued" ? conversation.before(turn) : 0;
      const stands = (tool) => standing(tool, turn, conversation);
      shown.draw(turn, { quiet, isLast, before, stands, depth: turn.status === "queued" ? depth : 0 });
    });
    if (!dirty) this.#arrange(turns);
    this.#review.draw(conversation);
  }

  /** What a screen reader is told of a turn that has ended. */
  spoken(turn) {
    const node = this.#views.get(turn)?.node;
    const texts = [...node?.querySelectorAll(".answer, .trouble-box p") ?? []].map((it) => it.textContent);
    return texts.join(" ").slice(0, SPOKEN);
  }

  #add(turn) {
    const view = new TurnView(this.#can);
    this.#views.set(turn, view);
    this.#list.append(view.node);
    return view;
  }

  /** Puts the nodes in order; moves none that stands right. */
  #arrange(turns) {
    for (const [turn, view] of this.#views) {
      if (turns.includes(turn)) continue;
      view.node.remove();
      this.#views.delete(turn);
    }
    turns.forEach((turn, at) => {
      const node = this.#views.get(turn).node;
      if (this.#list.children[at] !== node) this.#list.insertBefore(node, this.#list.children[at] ?? null);
    });
  }
}
