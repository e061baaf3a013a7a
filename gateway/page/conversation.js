// What a session's events come to. Knows neither the network nor the page.

const ENDINGS = ["completed", "interrupted", "failed", "cancelled"];

/** One question and its answer. */
export class Turn {
  constructor(id, input) {
    this.id = id;
    this.input = input;
    // sending, unsent, waiting, running, or one of ENDINGS.
    this.status = "waiting";
    this.parts = [];
    this.detail = null;
    this.stopping = false;
  }

  get active() {
    return ["sending", "waiting", "running"].includes(this.status);
  }

  get text() {
    return this.#joined("text");
  }

  get reasoning() {
    return this.#joined("reasoning");
  }

  get tools() {
    const results = new Map(this.#of("toolResult").map((it) => [it.callId, it]));
    return this.#of("toolCall").map((call) => ({ call, result: results.get(call.callId) }));
  }

  get citations() {
    return [...new Map(this.#of("citation").map((it) => [it.number, it])).values()];
  }

  /** Takes an event of this turn. */
  apply(kind, data) {
    if (kind === "started") {
      this.input = data.started.input ?? "";
      this.status = "running";
    } else if (kind === "rewind") {
      const to = data.rewind.to ?? 0;
      this.parts = this.parts.filter((it) => it.index <= to);
    } else if (ENDINGS.includes(kind)) {
      this.status = kind;
      this.detail = data[kind] ?? {};
    } else {
      for (const name of ["text", "reasoning", "toolCall", "toolResult", "citation"]) {
        if (data[name] !== undefined) this.parts.push({ index: data.index ?? 0, name, value: data[name] });
      }
    }
  }

  #of(name) {
    return this.parts.filter((it) => it.name === name).map((it) => it.value);
  }

  #joined(name) {
    return this.#of(name).join("");
  }
}

/** The turns of a session, in the order they began. */
export class Conversation {
  turns = [];

  find(id) {
    return this.turns.find((it) => it.id === id);
  }

  get active() {
    return this.turns.find((it) => it.active && it.status !== "sending") ?? this.turns.find((it) => it.active);
  }

  add(id, input, status = "waiting") {
    const turn = new Turn(id, input);
    turn.status = status;
    this.turns.push(turn);
    return turn;
  }

  remove(turn) {
    this.turns = this.turns.filter((it) => it !== turn);
  }

  /** Takes an event; returns the turn it changed. */
  apply(kind, data) {
    let turn = this.find(data.turnId);
    if (!turn && kind === "started") {
      // The answer to our own submit may come after the turn has begun.
      turn = this.turns.find((it) => it.status === "sending" && it.input === data.started.input);
      if (turn) turn.id = data.turnId;
    }
    turn ??= this.add(data.turnId, "");
    turn.apply(kind, data);
    return turn;
  }
}
