// The calls that wait for a human, at the end of the conversation. A call alone
// is decided at once; of several, decisions are collected and go together: the
// agent carries out what is decided and asks again about the rest. Forgets
// nothing that was typed while the conversation is open.

import { announce, byId, element } from "../dom.js";
import { Abandoned } from "../net/api.js";
import { randomId } from "../store.js";
import { moment, words } from "../words.js";
import { PendingView, keyOf } from "./pending.js";
import { Seen } from "./seen.js";

const REFUSALS = {
  already_decided: words.alreadyDecided,
  call_altered: words.callAltered,
  decision_expired: words.decisionExpired,
  nothing_pending: words.nothingPending,
  review_closed: words.reviewClosed,
  turn_in_progress: words.decideLater,
  too_many_turns: words.decideLater,
};

/** Why decisions were not taken, in plain words. */
function plain(refused) {
  if (REFUSALS[refused.code]) return REFUSALS[refused.code];
  if (refused.status === 0 || refused.status >= 500) return words.undelivered;
  if (refused.status === 429) return words.slower(refused.retryAfter || 1);
  const violated = refused.violations.map((it) => it.description);
  return words.undecidable(violated.join("; ") || refused.message);
}

/** Changes a text only where it is another: nobody hears the same twice. */
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Who has just decided goes on where one writes; a phone shows no keyboard for that. */
function leave() {
  if (!matchMedia("(pointer: coarse)").matches) byId("question").focus({ preventScroll: true });
}

/** Whether a call has its result. */
const answered = (conversation, { callId }) =>
  conversation.turns.some(({ tools }) => tools.some((it) => it.callId === callId && it.result !== undefined));

/** Shows what waits; `decide(turnId, decisions, key)` brings what the human says. */
export class ReviewView {
  #decide;
  #cards = new Map();
  #shown = [];
  #turnId = null;
  #held = false;
  #attempt = {};
  #note = element("p", { class: "review-note", role: "status", hidden: true });
  #trouble = element("p", { class: "review-note bad", role: "alert", hidden: true });
  #heading = element("h2", { tabindex: "-1" });
  #until = element("p", { class: "until" });
  #list = element("ol");
  #count = element("span", { class: "count", tabindex: "-1" });
  #all = element("button", { type: "button", class: "quiet all", click: () => this.#acceptRest() });
  #send = element("button", { type: "button", class: "strong send", click: () => this.#go() });
  #together = element("div", { class: "together" }, this.#count, this.#all, this.#send);
  #box = element("div", { class: "review-box", hidden: true },
    element("div", { class: "review-head" }, this.#heading, this.#until), this.#list, this.#together);
  #seen = new Seen(() => this.#draw());

  constructor(decide) {
    this.#decide = decide;
    this.node = element("section", { class: "review", "aria-label": words.review }, this.#note, this.#box, this.#trouble);
  }

  /** Draws what waits in a conversation; `null`: another one is shown. */
  draw(conversation) {
    if (!conversation) return this.#forget();
    const review = conversation.active ? null : conversation.review;
    const cards = review ? review.calls.map((call) => this.#card(call)) : this.#open(conversation);
    this.#notice(conversation, cards);
    this.#release(cards, conversation);
    this.#turnId = review?.turnId ?? null;
    put(this.#until, review?.expires ? words.until(moment(review.expires)) : "");
    const idle = !cards.length && !this.#shown.length;
    this.#arrange(cards);
    if (!idle) this.#draw();
    return undefined;
  }

  /** While some of the calls are carried out, the others stay where they are:
   *  somebody may be writing in them. */
  #open(conversation) {
    if (!conversation.active?.resumes) return [];
    return this.#shown.filter((it) => !it.sent && !answered(conversation, it.call));
  }

  #forget() {
    for (const card of this.#cards.values()) this.#seen.leave(card);
    this.#cards = new Map();
    this.#held = false;
    this.#attempt = {};
    this.#say("", "");
    this.#arrange([]);
    this.#draw();
  }

  #card(call) {
    const key = keyOf(call);
    if (!this.#cards.has(key)) this.#cards.set(key, new PendingView(call, { decided: () => this.#decided() }));
    return this.#cards.get(key);
  }

  #arrange(cards) {
    const gone = this.#shown.filter((it) => !cards.includes(it));
    const fresh = cards.filter((it) => !this.#shown.includes(it));
    const mine = this.node.contains(document.activeElement) || gone.some((it) => it.sent);
    gone.forEach((it) => this.#seen.leave(it));
    gone.forEach((it) => it.node.remove());
    // One that stays is not moved: somebody may be writing in it.
    cards.forEach(({ node }, at) => {
      if (this.#list.children[at] !== node) this.#list.insertBefore(node, this.#list.children[at] ?? null);
    });
    fresh.forEach((it) => this.#seen.watch(it));
    this.#shown = cards;
    this.#box.hidden = !cards.length;
    if (mine && gone.length && document.activeElement === document.body) leave();
    if (fresh.length) announce(words.reviewAppears(cards.length));
  }

  /** Tells why cards go away that one has not decided here. */
  #notice(conversation, cards) {
    const { active } = conversation;
    const elsewhere = ({ call, sent }) => !sent && (active?.resumes || answered(conversation, call));
    if (this.#shown.some((it) => !cards.includes(it) && elsewhere(it))) this.#say(words.decidedElsewhere, "");
    else if (cards.some((it) => !this.#shown.includes(it)) || (active && !active.resumes)) this.#say("", "");
  }

  /** Cards whose decision did not come to count can be decided again. */
  #release(cards, conversation) {
    for (const card of cards.filter((it) => it.sent)) {
      const turn = conversation.find(card.sent);
      if (!turn || turn.isActive) continue;
      card.sent = null;
      card.undo();
    }
  }

  #say(note, trouble) {
    put(this.#note, note);
    this.#note.hidden = !note;
    put(this.#trouble, trouble);
    this.#trouble.hidden = !trouble;
  }

  get #alone() {
    return this.#shown.length === 1;
  }

  get #ready() {
    return this.#shown.filter((it) => it.decision && !it.sent);
  }

  #decided() {
    this.#draw();
    if (this.#alone && this.#ready.length) this.#go();
    else if (document.activeElement === document.body) this.#next();
  }

  /** On to what is to be read next; never onto a button, which a key that is
   *  still held would press. */
  #next() {
    const open = this.#shown.find((it) => !it.decision);
    if (open) open.focusName();
    else this.#count.focus();
  }

  #acceptRest() {
    this.#shown.filter((it) => !it.decision && !it.sent).forEach((it) => it.accept());
  }

  async #go() {
    const cards = this.#ready;
    if (this.#held || !this.#turnId || !cards.length) return;
    cards.forEach((it) => { it.sent = "on its way"; });
    this.#hold(cards, true);
    const [here, decisions] = [this.#cards, cards.map((it) => it.message)];
    const outcome = await this.#decide(this.#turnId, decisions, this.#key(decisions)).catch((error) => error);
    // Another conversation is shown by now.
    if (here !== this.#cards) return;
    const failed = outcome instanceof Error;
    cards.forEach((it) => { it.sent = failed ? null : outcome; });
    if (failed && !(outcome instanceof Abandoned)) this.#refused(outcome, cards);
    if (!failed) {
      this.#attempt = {};
      this.#say("", "");
    }
    this.#hold(cards, false);
  }

  /** Decisions that may have arrived are sent again under the same key: they
   *  count once. */
  #key(decisions) {
    const text = JSON.stringify([this.#turnId, decisions]);
    if (this.#attempt.text !== text) this.#attempt = { text, key: randomId() };
    return this.#attempt.key;
  }

  #refused(error, cards) {
    if (this.#alone) cards.forEach((it) => it.undo());
    this.#say("", plain(error));
  }

  #hold(cards, held) {
    this.#held = held;
    this.#draw();
    if (!held && document.activeElement === document.body) cards.find((it) => this.#shown.includes(it))?.focus();
  }

  #draw() {
    const [total, ready] = [this.#shown.length, this.#ready.length];
    const going = this.#held || this.#shown.some((it) => it.sent);
    this.#shown.forEach((it) => it.hold(Boolean(it.sent)));
    this.#box.setAttribute("aria-busy", String(going));
    put(this.#heading, words.reviewTitle(total));
    const open = this.#shown.filter((it) => !it.decision);
    const unseen = open.filter((it) => !it.seen).length;
    const direct = this.#alone && !ready;
    this.#together.hidden = direct && !going;
    this.#all.hidden = !open.length || this.#alone;
    this.#all.disabled = going || unseen > 0;
    put(this.#all, words.acceptRest(open.length, total));
    this.#all.title = unseen > 0 ? words.unseen(unseen) : "";
    this.#send.hidden = direct;
    this.#send.disabled = going || !ready || !this.#turnId;
    put(this.#send, words.carryOut(ready));
    this.#count.classList.toggle("going", going);
    const state = this.#turnId ? words.decidedOf(ready, total) : words.decideLater;
    put(this.#count, going ? words.deciding : state);
  }
}
