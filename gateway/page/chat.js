// The conversation one looks at: what is asked, stopped and decided in it, and
// what is heard of it. Knows no nodes.

import { Conversation } from "./model/conversation.js";
import { ENDINGS } from "./model/turn.js";
import { Abandoned, Refused } from "./net/api.js";
import { Feed } from "./net/feed.js";
import { device, randomId } from "./store.js";

/** The longest question that the server takes, in bytes. */
export const MOST_BYTES = 256 * 1024;

export class Chat {
  #api;
  #identity;
  #on;
  #feed = null;

  /**
   * `on.changed(turn | null)`: a turn, or which turns there are, has changed;
   * `on.heard(kind, turn)`: an event came; `on.cleared()`: another conversation
   * is shown; `on.state(name, seconds)` as of the feed; `on.lost(refused)`;
   * `on.deleted()`: it was erased, here or elsewhere.
   */
  constructor(api, identity, on) {
    this.#api = api;
    this.#identity = identity;
    this.#on = on;
  }

  /** Shows a session; one that nobody has asked anything in is empty. */
  open(session) {
    this.close();
    this.session = session;
    this.conversation = new Conversation();
    this.isLoaded = false;
    this.title = "";
    this.#on.cleared();
    this.#unsent().forEach((it) => this.#send(it));
    this.#feed = new Feed(this.#api, session, {
      fresh: () => this.#fresh(session),
      frame: (kind, data) => this.#hear(kind, data),
      state: (...all) => this.#on.state(...all),
      lost: (refused) => this.#on.lost(refused),
    });
  }

  close() {
    this.#feed?.close();
    this.#feed = null;
  }

  get feed() {
    return this.#feed;
  }

  /** Asks; what is on its way is kept until the server has it. `more` is
   *  `{model?, replaces?}`. */
  ask(input, more = {}) {
    const question = { session: this.session, key: randomId(), input, ...more };
    this.#keep(question);
    return this.#send(question);
  }

  /** Asks again: the same request when it may have arrived, else a new one in
   *  the place of the turn that failed. */
  retry(turn, more = {}) {
    if (turn.status !== "unsent") return this.ask(turn.input, { ...more, replaces: turn.id });
    this.conversation.remove(turn);
    this.#on.changed(null);
    this.#keep(turn.question);
    return this.#send(turn.question);
  }

  /** Takes back a question that was not sent. */
  forget(turn) {
    this.#sent(turn.question);
    this.conversation.remove(turn);
    this.#on.changed(null);
  }

  /** Stops a turn. Throws `Refused` where that failed. */
  async stop(turn) {
    turn.stopping = true;
    this.#on.changed(turn);
    try {
      await this.#api.cancel(this.session, turn.id);
    } catch (error) {
      turn.stopping = false;
      this.#on.changed(turn);
      // 409: it has ended, and the feed says how.
      if (error.status !== 409) throw error;
    }
  }

  /** Decides calls that wait; the id of the turn that carries it out. Throws
   *  `Refused` with what the server says. */
  async decide(turnId, decisions, key = randomId()) {
    const session = this.session;
    try {
      const started = await this.#api.decide(session, turnId, decisions, key);
      if (session === this.session) this.conversation.decided(decisions);
      return started.turnId;
    } finally {
      // Somebody else may have decided: what waits is asked for again.
      if (session === this.session) await this.#review(session);
    }
  }

  /** What was said before, and what waits. */
  async #fresh(session) {
    const state = await this.#api.session(session);
    const kept = state.status === "not_found" ? [] : await this.#api.turns(session);
    if (session !== this.session) throw new Abandoned();
    this.conversation.load(kept);
    this.#pending(state);
    this.title = state.title ?? "";
    this.isLoaded = true;
    this.#on.changed(null);
  }

  #pending(state) {
    const { pending, interruptedTurnId: turnId, expires } = state;
    this.conversation.review = pending?.length ? { turnId, calls: pending, expires } : null;
  }

  async #review(session) {
    const state = await this.#api.session(session).catch(() => null);
    if (!state || session !== this.session || this.conversation.active) return;
    this.#pending(state);
    this.#on.changed(null);
  }

  #hear(kind, data) {
    if (kind === "deleted") return this.#deleted();
    if (kind === "auth_expired" || !data.turnId) return undefined;
    const turn = this.conversation.apply(kind, data);
    // What a decided call answers stands where it was asked for.
    const elsewhere = turn.resumes && ["tool_call", "tool_result", "rewind"].includes(kind);
    this.#on.changed(kind === "started" || kind === "failed" || elsewhere ? null : turn);
    this.#on.heard(kind, turn);
    // Calls may wait on after a turn that was to go on with them.
    if (turn.resumes && (kind === "failed" || kind === "cancelled")) this.#review(this.session);
    if ((kind === "failed" || kind === "cancelled") && turn.replaces) this.#reload();
    return undefined;
  }

  /** The server alone knows what stays of turns whose replacement failed. */
  async #reload() {
    const session = this.session;
    const kept = await this.#api.turns(session).catch(() => null);
    if (!kept || session !== this.session || this.conversation.active) return;
    this.conversation.load(kept);
    this.#on.changed(null);
  }

  #deleted() {
    this.conversation = new Conversation();
    this.#on.cleared();
    this.#on.deleted();
  }

  async #send(question) {
    const { session, key, input, model, replaces } = question;
    const turn = this.conversation.add(`local-${key}`, input, { replaces });
    turn.question = question;
    this.#on.changed(null);
    try {
      const { turnId } = await this.#api.ask(session, { input, model, replaces, admission: "enqueue" }, key);
      this.#sent(question);
      this.#accepted(turn, turnId);
    } catch (error) {
      if (error instanceof Abandoned) return;
      this.#refused(turn, error);
    }
    if (session === this.session) this.#on.changed(null);
  }

  #accepted(turn, turnId) {
    if (!turn.isLocal) return;
    // The stream was faster.
    if (this.conversation.find(turnId)) this.conversation.remove(turn);
    else this.conversation.accepted(turn, turnId);
  }

  #refused(turn, error) {
    if (!turn.isLocal) return;
    turn.status = "unsent";
    turn.refused = error;
    // What is known not to have arrived is not sent again by a reload.
    if (error instanceof Refused && error.isFinal) this.#sent(turn.question);
  }

  #name() {
    return `unsent.${this.#identity.person}`;
  }

  /** The questions of this session that may not have arrived. */
  #unsent() {
    return (device.get(this.#name()) ?? []).filter((it) => it.session === this.session);
  }

  #keep(question) {
    const others = (device.get(this.#name()) ?? []).filter((it) => it.key !== question.key);
    device.set(this.#name(), [...others, question].slice(-20));
  }

  #sent(question) {
    const left = (device.get(this.#name()) ?? []).filter((it) => it.key !== question.key);
    device.set(this.#name(), left.length ? left : null);
  }
}

/** Whether a turn ends with an event of this kind. */
export const isEnding = (kind) => ENDINGS.includes(kind);
