// One call that waits for a human: what would be done, why one is asked, and the
// four answers. Keeps what one has typed for as long as it lives; sends nothing.

import { announce, element, isComposing } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";
import { JsonEditor } from "./json-editor.js";
import { LongText } from "./long.js";
import { title } from "./tool.js";

/** The longest message that the server takes, in bytes. */
const MOST_BYTES = 64 * 1024;

const REASONS = { review: words.reasonReview, outcome_unknown: words.reasonUnknown };
const VERDICTS = { accept: words.willAccept, edit: words.willEdit, reject: words.willReject, respond: words.willRespond };

/** Names the card of a call: another text of arguments is another call. */
export const keyOf = (call) => `${call.callId} ${call.argumentsHash}`;

export class PendingView {
  #call;
  #on;
  #mode = null;
  #editor = null;
  #panels = {};
  #choices = element("div", { class: "choices" });
  #panel = element("div", { class: "panel" });
  #verdict = element("div", { class: "verdict", hidden: true });
  #arguments = new LongText(words.toolArguments, { whole: true });
  #fields = element("fieldset", { "aria-label": words.decision });

  /** What was decided and not sent: `{type, arguments?, message?}`, or `null`. */
  decision = null;
  /** The turn that carries out what was sent. */
  sent = null;
  /** Whether it has been seen to its end. */
  seen = false;

  /** `on.decided()`: something was decided, or taken back. */
  constructor(call, on) {
    this.#call = call;
    this.#on = on;
    this.#arguments.draw(call.arguments);
    this.#choices.append(...this.#buttons());
    this.#fields.append(this.#choices, this.#panel, this.#verdict);
    this.node = element("li", { class: "pending", "data-call": call.callId }, ...this.#head(), this.#arguments.node, this.#fields);
  }

  get call() {
    return this.#call;
  }

  /** What goes to the server: bound to exactly the call that was shown. */
  get message() {
    const { callId, argumentsHash } = this.#call;
    return { callId, argumentsHash, ...this.decision };
  }

  /** Nothing can be changed while it is on its way. */
  hold(held) {
    this.#fields.disabled = held;
  }

  /** Makes a decision for which nothing is to be said. */
  accept() {
    this.#decide({ type: "accept" });
  }

  /** Takes a decision back; what was typed stays. */
  undo() {
    this.decision = null;
    this.#draw();
  }

  focus() {
    this.#fields.querySelector("button:not([hidden] *)")?.focus();
  }

  focusName() {
    this.node.querySelector("h3").focus();
  }

  #head() {
    const { name, summary, reason } = this.#call;
    const why = REASONS[reason] ?? reason ?? "";
    return [
      element("h3", { tabindex: "-1" }, icon("tool"), element("span", { class: "name" }, ...title(name).filter(Boolean))),
      element("p", { class: "summary" }, summary || name),
      element("p", { class: reason === "outcome_unknown" ? "why grave" : "why" }, why),
    ];
  }

  #buttons() {
    const unknown = this.#call.reason === "outcome_unknown";
    const button = (name, label, click, kind = "quiet") =>
      element("button", { type: "button", class: kind, "data-choice": name, click }, label);
    return [
      button("accept", unknown ? words.acceptAgain : words.accept, () => this.accept(), "strong"),
      button("edit", words.editChoice, () => this.#open("edit")),
      button("reject", words.reject, () => this.#open("reject")),
      button("respond", unknown ? words.respondUnknown : words.respond, () => this.#open("respond")),
    ];
  }

  #open(mode) {
    this.#mode = mode;
    this.#panels[mode] ??= mode === "edit" ? this.#edit() : this.#message(mode);
    this.#draw();
    (mode === "edit" ? this.#editor : this.#panels[mode].querySelector("textarea")).focus();
    this.#panel.scrollIntoView({ block: "nearest" });
  }

  #close() {
    const mode = this.#mode;
    this.#mode = null;
    this.#draw();
    this.#choices.querySelector(`[data-choice="${mode}"]`)?.focus();
  }

  #edit() {
    const send = element("button", { type: "submit", class: "strong" }, words.acceptEdited);
    const check = () => {
      send.disabled = !this.#editor.isRight;
      send.textContent = this.#editor.isRight && !this.#editor.isChanged ? words.acceptSame : words.acceptEdited;
    };
    this.#editor = new JsonEditor(this.#call.arguments, check);
    check();
    const decide = () => {
      if (!this.#editor.isRight) return;
      if (this.#editor.isChanged) this.#decide({ type: "edit", arguments: this.#editor.value });
      else this.accept();
    };
    return this.#form([this.#editor.node], send, decide);
  }

  #message(mode) {
    const [label, hint, go] = mode === "reject"
      ? [words.rejectReason, words.rejectHint, words.rejectSend]
      : [words.respondLabel, words.respondHint, words.respondSend];
    const text = element("textarea", { rows: "3", "aria-label": label, placeholder: label });
    const send = element("button", { type: "submit", class: "strong" }, go);
    const long = element("span", { class: "bad", role: "status" });
    const check = () => {
      const size = new TextEncoder().encode(text.value).length;
      long.textContent = size > MOST_BYTES ? words.tooLong(size, MOST_BYTES) : "";
      send.disabled = size > MOST_BYTES || (mode === "respond" && !text.value.trim());
    };
    text.addEventListener("input", check);
    check();
    const decide = () => !send.disabled && this.#decide({ type: mode, ...(text.value.trim() && { message: text.value }) });
    return this.#form([element("p", { class: "about" }, hint), text, long], send, decide);
  }

  #form(parts, send, decide) {
    const back = element("button", { type: "button", class: "quiet", click: () => this.#close() }, words.cancel);
    const submit = (event) => {
      event.preventDefault();
      decide();
    };
    const left = (event) => {
      if (event.key !== "Escape" || isComposing(event)) return;
      event.preventDefault();
      this.#close();
    };
    return element("form", { submit, keydown: left }, ...parts, element("div", { class: "choices" }, send, back));
  }

  #decide(decision) {
    this.decision = decision;
    this.#draw();
    this.#on.decided(this);
  }

  #draw() {
    const decided = Boolean(this.decision);
    this.node.dataset.decided = this.decision?.type ?? "";
    this.#choices.hidden = decided || this.#mode !== null;
    this.#panel.hidden = decided || this.#mode === null;
    const panel = this.#panels[this.#mode];
    if (panel && this.#panel.firstChild !== panel) this.#panel.replaceChildren(panel);
    // While they are changed, they stand in the editor.
    this.#arguments.node.hidden = !decided && this.#mode === "edit";
    this.#verdict.hidden = !decided;
    if (decided) this.#verdict.replaceChildren(...this.#told());
  }

  #told() {
    const { type, message, arguments: changed } = this.decision;
    const undo = () => {
      this.undo();
      this.#on.decided(this);
      announce(words.undone);
      this.focus();
    };
    const said = message ?? changed;
    return [
      element("p", {}, icon(type === "reject" ? "ban" : "check"), element("b", {}, VERDICTS[type])),
      said ? element("pre", { tabindex: "0", role: "region", "aria-label": VERDICTS[type] }, said) : null,
      element("button", { type: "button", class: "quiet undo", click: undo }, words.undo),
    ].filter(Boolean);
  }
}
