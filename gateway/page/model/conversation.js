// The turns of a session as events and the transcript tell them. Pure: knows
// neither the network nor the page.

import { Turn } from "./turn.js";

export class Conversation {
  /** All turns in the order they began; also those that others stand in for. */
  #turns = [];
  /** The calls that wait for a human: `{turnId, calls, expires?}`, or `null`. */
  review = null;

  /** The turns that are the conversation. */
  get turns() {
    return this.#turns.filter((it) => !it.replacedBy);
  }

  find(id) {
    return this.#turns.find((it) => it.id === id);
  }

  get last() {
    return this.turns.at(-1);
  }

  get isEmpty() {
    return this.turns.length === 0;
  }

  /** The turn that runs, or the first that waits. */
  get active() {
    return this.#turns.find((it) => it.status === "running") ?? this.#turns.find((it) => it.isActive);
  }

  /** How many unfinished turns of the conversation come before this one. */
  before(turn) {
    const active = this.#turns.filter((it) => it.isActive);
    return Math.max(active.indexOf(turn), 0);
  }

  /** A question that only this page knows of. */
  add(id, input, { status = "sending", replaces = null } = {}) {
    const turn = new Turn(id, input, status);
    turn.replaces = replaces;
    this.#turns.push(turn);
    if (replaces) this.#replace(turn);
    return turn;
  }

  /** Takes a turn away; those that it stood in for are back. */
  remove(turn) {
    this.#turns = this.#turns.filter((it) => it !== turn);
    this.#restore(turn.id);
  }

  /** The server has given a local question its id. */
  accepted(turn, id) {
    for (const it of this.#turns.filter((it) => it.replacedBy === turn.id)) it.replacedBy = id;
    turn.id = id;
    turn.status = "queued";
  }

  /** What was decided here about calls that waited. */
  decided(decisions) {
    for (const { callId, type } of decisions) {
      const tool = this.#tool(callId);
      if (tool) tool.decided = type;
    }
  }

  /** Takes what is kept of the session; questions that only this page knows of stay. */
  load(kept) {
    const known = new Map(this.#turns.map((it) => [it.id, it]));
    const local = this.#turns.filter((it) => it.isLocal);
    this.#turns = [];
    for (const it of kept) {
      const turn = known.get(it.turnId) ?? new Turn(it.turnId, "");
      turn.replacedBy = null;
      turn.load(it, (callId) => this.#tool(callId));
      if (turn.resumes === "") turn.resumes = this.#turns.at(-1)?.id ?? null;
      this.#turns.push(turn);
      if (turn.isActive && turn.replaces) this.#replace(turn);
    }
    for (const turn of local) {
      this.#turns.push(turn);
      if (turn.replaces) this.#replace(turn);
    }
  }

  /** Takes an event; returns the turn that it is about. */
  apply(kind, data) {
    const turn = this.find(data.turnId) ?? this.#arrived(kind, data);
    turn.apply(kind, data, (callId) => this.#tool(callId));
    if (kind === "started") this.#began(turn);
    if (kind === "interrupted") this.review = { turnId: turn.id, ...data.interrupted };
    // What it was to stand in for may be back: the transcript knows.
    if (kind === "failed") this.#restore(turn.id);
    return turn;
  }

  #arrived(kind, data) {
    // The answer to our own submit may come after the turn has begun.
    const mine = kind === "started" && this.#turns.find((it) => it.status === "sending" && it.input === data.started.input);
    if (mine) {
      this.accepted(mine, data.turnId);
      return mine;
    }
    const turn = new Turn(data.turnId, "");
    this.#turns.push(turn);
    return turn;
  }

  /** Turns stand in the order they began, questions that wait behind them. */
  #began(turn) {
    this.review = null;
    const waits = (it) => it !== turn && (it.isLocal || it.status === "queued");
    const waiting = this.#turns.filter(waits);
    this.#turns = [...this.#turns.filter((it) => it !== turn && !waits(it)), turn, ...waiting];
    if (turn.replaces) this.#replace(turn);
  }

  /** The turn stands in for another one and all behind that. */
  #replace(turn) {
    const from = this.#place(turn);
    if (from < 0) return;
    for (const it of this.#turns.slice(from)) {
      if (it !== turn && !it.isActive && it.status !== "unsent") it.replacedBy = turn.id;
    }
  }

  /** Where the turn stands: one that it replaces may itself have been to stand in
   *  for an earlier one, and may be known to the server alone. */
  #place(turn) {
    const at = (id) => this.#turns.findIndex((it) => it !== turn && it.id === id);
    let place = at(turn.replaces);
    if (place < 0) return this.#turns.findIndex((it) => it !== turn && it.replaces === turn.replaces);
    for (;;) {
      const earlier = at(this.#turns[place].replaces);
      if (earlier < 0 || earlier >= place) return place;
      place = earlier;
    }
  }

  #restore(id) {
    for (const it of this.#turns) if (it.replacedBy === id) it.replacedBy = null;
  }

  #tool(callId) {
    return this.#turns.findLast((it) => it.tools.some((tool) => tool.callId === callId))?.tools.find((it) => it.callId === callId);
  }
}
