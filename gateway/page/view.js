// The conversation as it is seen. Everything a model or a person said goes in
// as text.

import { element, inline, show } from "./markup.js";
import { words } from "./words.js";

/** One turn on the page; `draw` brings it up to date. */
export class TurnView {
  #question = element("div", { class: "question" });
  #before = element("div");
  #answer = element("div", { class: "answer" });
  #after = element("div");
  #drawn = {};

  constructor(retry) {
    this.node = element("li", { class: "turn" }, this.#question, this.#before, this.#answer, this.#after);
    this.retry = retry;
  }

  draw(turn) {
    this.node.classList.toggle("running", turn.status === "running" && !turn.stopping);
    this.node.setAttribute("aria-busy", String(turn.active));
    this.#question.textContent = turn.input;
    this.#question.hidden = !turn.input;
    const citations = turn.citations;
    const link = (number) => citations.some((it) => it.number === number) && mark(turn, number);
    show(this.#answer, turn.text, (number) => link(number) || null, citations.length);
    this.#part(this.#before, [turn.reasoning, turn.tools], () => [...reasoning(turn), ...turn.tools.map(tool)]);
    this.#part(this.#after, [citations, turn.status, turn.stopping, turn.detail], () => [
      ...sources(turn, citations),
      ...ending(turn, this.retry),
    ]);
  }

  /** Draws a part anew only when what it shows has changed, so that what the
   *  reader opened stays open. */
  #part(parent, what, make) {
    const key = JSON.stringify(what);
    const name = parent === this.#before ? "before" : "after";
    if (this.#drawn[name] === key) return;
    this.#drawn[name] = key;
    const open = new Set([...parent.querySelectorAll("details[open]")].map((it) => it.dataset.key));
    parent.replaceChildren(...make());
    for (const it of parent.querySelectorAll("details")) it.open = open.has(it.dataset.key);
  }
}

const place = (turn, number) => `source-${turn.id}-${number}`;

function mark(turn, number) {
  return element("a", { class: "mark", href: `#${place(turn, number)}` }, String(number));
}

function reasoning(turn) {
  if (!turn.reasoning) return [];
  const summary = element("summary", {}, words.reasoning);
  return [element("details", { class: "reasoning", "data-key": "reasoning" }, summary, element("div", {}, turn.reasoning))];
}

function tool({ call, result }) {
  const summary = element("summary", {}, words.tool(call.name ?? ""));
  const parts = [call.arguments, result?.content].filter(Boolean).map((it) => element("pre", {}, it));
  return element("details", { class: "tool", "data-key": `tool-${call.callId}` }, summary, ...parts);
}

function sources(turn, citations) {
  if (!citations.length) return [];
  const items = citations.map((it) => {
    const lines = it.firstLine ? `:${it.firstLine}${it.lastLine > it.firstLine ? `–${it.lastLine}` : ""}` : "";
    const what = element("span", {}, element("span", { class: "what" }, (it.heading || it.source || "").replaceAll(" > ", " › ")), " ");
    what.append(element("span", { class: "where", title: it.firstLine ? words.lines(it.firstLine, it.lastLine) : "" }, `${it.source ?? ""}${lines}`));
    const summary = element("summary", {}, element("span", { class: "number" }, String(it.number)), what);
    const details = element("details", { "data-key": `source-${it.number}` }, summary);
    if (it.quote) details.append(element("blockquote", {}, ...inline(it.quote, () => null)));
    return element("li", { id: place(turn, it.number) }, details);
  });
  return [element("section", { class: "sources" }, element("h3", {}, words.sources), element("ol", {}, ...items))];
}

function ending(turn, retry) {
  const say = (text, late) => [element("p", { class: late ? "state late" : "state" }, text)];
  if (turn.active && turn.stopping) return say(words.stopping);
  switch (turn.status) {
    case "sending":
      return say(words.sending, true);
    case "waiting":
      return say(words.waiting, true);
    case "cancelled":
      return say(words.stopped);
    case "interrupted":
      return say(words.interrupted);
    case "completed":
      return turn.detail?.finishReason === "length" ? say(words.cut) : [];
    case "failed":
    case "unsent": {
      const button = element("button", { type: "button" }, words.retry);
      button.addEventListener("click", () => retry(turn));
      const why = element("p", {}, turn.detail?.message || turn.detail?.code || "");
      return [element("div", { class: "trouble-box", role: "alert" }, why, button)];
    }
    default:
      return [];
  }
}
