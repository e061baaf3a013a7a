// The conversation one looks at: what is asked, stopped and decided in it, and
// what is heard of it. Knows no nodes.

import { Conversation } from "./model/conversation.js";
import { ENDINGS } from "./model/turn.js";
import { Abandoned, Refused } from "./net/api.js";
import { Feed } from "./net/feed.js";
import { Outbox } from "./outbox.js";
import { randomId } from "./store.js";

/** The longest question that the server takes, in bytes. */
export const MOST_BYTES = 256 * 1024;

export class Chat {
  #api;
  #outbox;
  #on;
  #feed = null;

  /**
   * `on.changed(turn | null)`: a turn, or which turns there are, has changed;
   * `on.heard(kind, turn)`: an event came; `on.cleared()`: another conversation
   * is shown; `on.loaded()`: what was said in it is there; `on.state(name, seconds)` as of the feed; `on.lost(refused)`;
   * `on.deleted()`: it was erased, here or elsewhere.
   */
  constructor(api, identity, on) {
    this.#api = api;
    this.#outbox = new Outbox(identity);
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
    this.#outbox.of(session).forEach((it) => this.#send(it));
    this.#feed = new Feed(this.#api, session, {
      fresh: () => this.#fresh(session),
      frame: (kind, data) => this.#hear(kind, data),
      state: (name, seconds) => this.#state(name, seconds),
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
    this.#outbox.keep(question);
    return this.#send(question);
  }

  /** Asks again: the same request when it may have arrived, else a new one in
   *  the place of the turn that failed. */
  retry(turn, more = {}) {
    if (turn.status !== "unsent") return this.ask(turn.input, { ...more, replaces: turn.id });
    this.conversation.remove(turn);
    this.#on.changed(null);
    this.#outbox.keep(turn.question);
    return this.#send(turn.question);
  }

  /** Takes back a question that was not sent. */
  forget(turn) {
    this.#outbox.drop(turn.question);
    this.conversation.remove(turn);
    this.#on.changed(null);
  }

  /** Stops a turn; where nobody answers, as soon as somebody does. */
  async stop(turn) {
    Object.assign(turn, { stopping: true, unstoppable: false });
    this.#on.changed(turn);
    try {
      await this.#api.cancel(this.session, turn.id);
    } catch (error) {
      // 409: it has ended, and the feed says how.
      if (!error.isFinal || error.status === 409) return;
      Object.assign(turn, { stopping: false, unstoppable: true });
      this.#on.changed(turn);
    }
  }

  #state(name, seconds) {
    this.#on.state(name, seconds);
    if (name !== "connected") return;
    // What did not come through goes on its way again.
    for (const turn of this.conversation.turns) {
      if (turn.stopping && turn.isActive) this.stop(turn);
      if (turn.status === "unsent" && !turn.refused?.isFinal) this.retry(turn);
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
    this.#on.loaded();
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
    if (kind === "failed" || kind === "cancelled") {
      // Calls may wait on, and what was to be replaced be back.
      this.#review(this.session);
      if (turn.replaces) this.#reload();
    }
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
    this.title = "";
    this.#on.cleared();
    this.#on.deleted();
  }

  async #send(question) {
    const { session, key, input, model, replaces } = question;
    const turn = this.conversation.add(`local-${key}`, input, { replaces });
    turn.question = question;
    this.#on.changed(null);
    try {
      // One that takes another one's place waits behind none.
      const admission = replaces ? "reject" : "enqueue";
      const { turnId } = await this.#api.ask(session, { input, model, replaces, admission }, key);
      this.#outbox.drop(question);
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
    if (error instanceof Refused && error.isFinal) this.#outbox.drop(turn.question);
  }
}

/** Whether a turn ends with an event of this kind. */
export const isEnding = (kind) => ENDINGS.includes(kind);
