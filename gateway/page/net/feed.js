// A session's events for as long as one looks at it. Comes back by itself after
// a cut, behind the last event it had; never calls a cut an end.

import { Abandoned, Refused } from "./api.js";

/** Silence after which a connection counts as dead: the server says something
 *  every 15 s. */
const SILENCE = 40_000;
/** The first and the longest pause before trying again. */
const PAUSES = [500, 10_000];

/** Reads Server-Sent Events from a body: `{id, event, data}` for each frame. */
export async function* frames(body, heard = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const frame = fields(part);
      if (frame.data !== undefined) yield frame;
    }
  }
}

function fields(text) {
  const frame = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) frame[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
  }
  return frame;
}

/** Follows a session until it is closed. */
export class Feed {
  #api;
  #session;
  #on;
  #last = null;
  #stopped = new AbortController();
  #current = null;
  #resting = false;
  #wake = () => {};

  /**
   * `on.fresh()` is awaited when the stream begins without a position: what was
   * said before is to be loaded then. `on.frame(kind, data)` for each event,
   * `on.state(name, seconds)` for how the connection is, `on.lost(refused)` when
   * it is no use to go on.
   */
  constructor(api, session, on) {
    this.#api = api;
    this.#session = session;
    this.#on = on;
    this.#run();
  }

  close() {
    this.#stopped.abort();
    this.#wake();
  }

  /** Tries at once, when it is waiting. */
  hurry() {
    this.#resting = false;
    this.#wake();
  }

  /** Lets the connection go until it is hurried: browsers allow a server only
   *  a few, and other tabs may want one. */
  rest() {
    this.#resting = true;
    this.#current?.abort();
  }

  /** Gives up a connection that is probably dead. */
  doubt() {
    this.#current?.abort();
  }

  async #run() {
    let failures = 0;
    while (!this.#stopped.signal.aborted) {
      this.#on.state(failures ? "retrying" : "connecting");
      try {
        await this.#read(() => { failures = 0; });
      } catch (error) {
        if (error instanceof Abandoned || this.#stopped.signal.aborted) return;
        if (error instanceof Refused && error.isFinal) return this.#on.lost(error);
      }
      if (this.#stopped.signal.aborted) return;
      failures += 1;
      const most = Math.min(PAUSES[0] * 2 ** (failures - 1), PAUSES[1]);
      await this.#pause(most * (0.6 + 0.4 * Math.random()));
    }
  }

  async #read(connected) {
    const silence = new AbortController();
    this.#current = silence;
    const signal = AbortSignal.any([this.#stopped.signal, silence.signal]);
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
    };
    heard();
    try {
      const response = await this.#api.events(this.#session, this.#last, signal);
      // What is said from here on waits in the stream while one reads what was.
      if (!this.#last) await this.#on.fresh();
      signal.throwIfAborted();
      connected();
      this.#on.state("connected");
      await this.#frames(response.body, heard, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #frames(body, heard, signal) {
    for await (const frame of frames(body, heard)) {
      if (signal.aborted) return;
      if (frame.event === "gap") {
        // What was kept of the turns is told by the transcript.
        this.#last = null;
        return;
      }
      if (frame.id) this.#last = frame.id;
      this.#on.frame(frame.event, JSON.parse(frame.data));
    }
  }

  #pause(milliseconds) {
    if (this.#resting) return new Promise((resolve) => { this.#wake = resolve; });
    this.#on.state(navigator.onLine ? "reconnecting" : "offline", Math.ceil(milliseconds / 1000));
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
