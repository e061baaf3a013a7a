// Questions that may not have arrived, kept in the browser for each person until
// the server has them: a reload, or a connection that is back, sends them again.

import { device } from "./store.js";

/** The most that are kept; the oldest is forgotten. */
const MOST = 20;

export class Outbox {
  #identity;

  constructor(identity) {
    this.#identity = identity;
  }

  /** What is kept of a session. */
  of(session) {
    return this.#all().filter((it) => it.session === session);
  }

  keep(question) {
    this.#set([...this.#others(question), question].slice(-MOST));
  }

  /** It has arrived, or is not to be sent. */
  drop(question) {
    this.#set(this.#others(question));
  }

  #name() {
    return `unsent.${this.#identity.person}`;
  }

  #all() {
    return device.get(this.#name()) ?? [];
  }

  #others(question) {
    return this.#all().filter((it) => it.key !== question.key);
  }

  #set(questions) {
    device.set(this.#name(), questions.length ? questions : null);
  }
}
