// A call of a tool: which, with what, how it stands; folded below that, all of
// what it was asked and what it answered.

import { element } from "../dom.js";
import { icon } from "../icons.js";
import { heard, line, named } from "../model/call.js";
import { words } from "../words.js";
import { LongText } from "./long.js";

/** The calls that were unfolded, by their turns and ids: a call that is drawn
 *  anew is as it was. */
const opened = new Set();

const STATES = {
  running: { label: words.toolRunning, mark: () => element("span", { class: "spinner" }) },
  waiting: { label: words.toolWaiting, mark: () => icon("clock") },
  undecided: { label: words.toolUndecided, mark: () => icon("clock") },
  broken: { label: words.toolBroken, mark: () => icon("close") },
  rejected: { label: words.toolRejected, mark: () => icon("ban") },
  answered: { label: words.toolAnswered, mark: () => icon("person") },
  failed: { label: words.toolFailed, mark: () => icon("close") },
  done: { label: words.toolDone, mark: () => icon("check") },
  ended: { label: words.toolEnded, mark: () => icon("check") },
};

/** A tool's name, and its server's behind it. */
export function title(name) {
  const { tool, server } = named(name);
  return [element("b", {}, tool || words.unnamed), server ? element("span", { class: "server" }, ` · ${server}`) : null];
}

export class ToolView {
  #name = element("span", { class: "name" });
  #line = element("span", { class: "tool-line" });
  #changed = element("span", { class: "badge", hidden: true }, words.toolChanged);
  #state = element("span", { class: "tool-state" });
  #note = element("span", { class: "tool-note", hidden: true }, words.toolClosed);
  #said = element("p", { class: "said", hidden: true });
  #asked = new LongText(words.toolAsked);
  #arguments = new LongText(words.toolArguments);
  #result = new LongText(words.toolResult);
  #drawn = [];
  #key = null;
  #inside = () => {};

  constructor() {
    const summary = element("summary", {}, icon("tool"), this.#name, this.#line, this.#changed, this.#state, this.#note);
    const inside = element("div", { class: "inside" }, this.#said, this.#asked.node, this.#arguments.node, this.#result.node);
    this.node = element("details", { class: "tool", toggle: () => this.#toggled() }, summary, inside);
  }

  /** `stands(tool)` says how the call stands. */
  draw({ tool }, turn, { stands }) {
    const state = stands(tool);
    const now = [tool, tool.name, tool.arguments, tool.asked, tool.result, state];
    if (now.every((it, at) => it === this.#drawn[at])) return;
    this.#drawn = now;
    this.#known(`${turn.id} ${tool.callId}`);
    const said = tool.result === undefined ? { text: "" } : heard(tool, turn);
    this.#head(tool, said, state);
    this.#inside = () => this.#fill(tool, said);
    if (this.node.open) this.#inside();
  }

  #known(key) {
    if (this.#key === key) return;
    this.#key = key;
    this.node.open = opened.has(key);
  }

  #head(tool, said, state) {
    const { label, mark } = STATES[state];
    this.node.dataset.state = state;
    this.#note.hidden = state !== "undecided";
    this.#name.replaceChildren(...title(tool.name).filter(Boolean));
    this.#line.textContent = line(tool.arguments);
    this.#changed.hidden = tool.asked === undefined && said.changed === undefined;
    this.#state.replaceChildren(mark(), element("span", {}, label));
  }

  #fill(tool, { text, rejected, changed }) {
    const made = changed ?? tool.arguments;
    const first = tool.asked ?? (changed === undefined ? "" : tool.arguments);
    this.#said.hidden = !rejected;
    this.#said.textContent = rejected ? words.toolReason(rejected) : "";
    this.#asked.draw(first);
    this.#arguments.draw(made);
    this.#result.draw(text);
  }

  /** What is folded is not made before somebody looks. */
  #toggled() {
    if (this.node.open) opened.add(this.#key);
    else opened.delete(this.#key);
    if (this.node.open) this.#inside();
  }
}
