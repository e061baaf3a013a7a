// The few calls this page makes, and a reader of the session's events that
// comes back by itself.

const SILENCE = 40_000;
const PAUSES = [500, 10_000];

/** A refusal, with the server's own words. `status` is 0 when there was no answer. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? problem?.title ?? `HTTP ${status}`);
    this.status = status;
    this.turnId = problem?.turnId;
  }
}

async function call(path, { headers, ...options } = {}) {
  let response;
  try {
    response = await fetch(path, {
      ...options,
      cache: "no-store",
      headers: { accept: "application/json", ...headers },
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    throw new Refused(0);
  }
  const body = await response.json().catch(() => undefined);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

const post = (path, body, headers) =>
  call(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });

const session = (who) => `/v1/sessions/${encodeURIComponent(who.session)}`;
const user = (who) => `userId=${encodeURIComponent(who.user)}`;

/** Submits a question; the same key never asks twice. */
export const ask = (who, input, key) =>
  post(`${session(who)}/turns`, { userId: who.user, input }, {
    prefer: "respond-async",
    "idempotency-key": key,
  });

export const cancel = (who, turnId) =>
  post(`${session(who)}/cancel`, { userId: who.user, turnId });

export const state = (who) => call(`${session(who)}?${user(who)}`);

/** Reads Server-Sent Events from a body: `{id, event, data}` for each frame. */
export async function* frames(body, heard = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const frame = {};
      for (const line of rest.slice(0, end).split("\n")) {
        const colon = line.indexOf(":");
        if (colon > 0) frame[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
      }
      if (frame.data !== undefined) yield frame;
    }
  }
}

/**
 * Follows a session for as long as the page lives. After a cut it goes on
 * after the last frame it had; the longer the trouble, the longer the pause.
 */
export class Feed {
  #who;
  #on;
  #last = null;
  #stopped = new AbortController();
  #current = null;
  #resting = false;
  #wake = () => {};

  /** `on`: frame(frame), state(name, seconds), lost(refused). */
  constructor(who, on) {
    this.#who = who;
    this.#on = on;
    this.#run();
  }

  close() {
    this.#stopped.abort();
    this.#wake();
  }

  /** Tries at once, when it is waiting. */
  hurry() {
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
        const hopeless = error instanceof Refused && error.status >= 400 && error.status < 500
          && error.status !== 408 && error.status !== 429;
        if (hopeless) return this.#on.lost(error);
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
      const response = await fetch(`${session(this.#who)}/events?${user(this.#who)}&after=start`, {
        headers: { accept: "text/event-stream", ...(this.#last && { "last-event-id": this.#last }) },
        cache: "no-store",
        signal,
      });
      if (!response.ok) {
        throw new Refused(response.status, await response.json().catch(() => undefined));
      }
      connected();
      this.#on.state("connected");
      for await (const frame of frames(response.body, heard)) {
        if (frame.id) this.#last = frame.id;
        this.#on.frame(frame);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #pause(milliseconds) {
    if (this.#resting) {
      this.#resting = false;
      return new Promise((resolve) => { this.#wake = resolve; });
    }
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
