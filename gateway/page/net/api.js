// Every call this page makes. Knows HTTP and whose credential is shown; keeps
// nothing.

const PATIENCE = 20_000;

/** A refusal, with the server's own words. `status` is 0 when there was no answer. */
export class Refused extends Error {
  constructor(status, problem, retryAfter = 0) {
    super(problem?.detail ?? problem?.title ?? `HTTP ${status}`);
    this.status = status;
    /** The problem's code, as `turn_in_progress`. */
    this.code = problem?.type?.split(":").at(-1) ?? "";
    this.turnId = problem?.turnId;
    this.violations = problem?.violations ?? [];
    /** Seconds. */
    this.retryAfter = retryAfter;
  }

  /** Whether asking again with the same words cannot help. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && ![401, 408, 429].includes(this.status);
  }
}

/** The request was of a person who is not here any more. */
export class Abandoned extends Error {}

/** What `response` refuses. */
async function refusal(response) {
  const problem = await response.json().catch(() => undefined);
  return new Refused(response.status, problem, Number(response.headers.get("retry-after")) || 0);
}

/** Whom the server knows by a key, or without one: `{status, authentication?,
 *  userId?, role?, expiresAt?}`; status 0 when there was no answer. */
export async function whoIs(key, patience = PATIENCE) {
  try {
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    const response = await fetch("/v1/me", { cache: "no-store", headers, signal: AbortSignal.timeout(patience) });
    return { ...(response.ok && (await response.json())), status: response.status };
  } catch {
    return { status: 0 };
  }
}

const sessionPath = (session) => `/v1/sessions/${encodeURIComponent(session)}`;

/** The calls, as the person that `identity` says. */
export class Api {
  #identity;

  constructor(identity) {
    this.#identity = identity;
  }

  /** Whether whatever is sent now waits for a key. */
  get isWaiting() {
    return this.#identity.isWanted;
  }

  /** Sends; a refused credential is asked for again, and then it is sent again.
   *  Throws `Refused`, or `Abandoned` when another person has come. */
  async fetch(path, { headers, ...options } = {}) {
    for (;;) {
      await this.#identity.ready();
      const person = this.#identity.person;
      const shown = this.#identity.headers();
      const response = await this.#once(path, { ...options, headers: { ...headers, ...shown } });
      if (this.#identity.person !== person) throw new Abandoned();
      if (response.ok) return response;
      const refused = await refusal(response);
      if (refused.status !== 401) throw refused;
      if (!(await this.#identity.challenge(shown))) throw new Abandoned();
    }
  }

  async #once(path, options) {
    try {
      // A patience of its own: a person may have looked for a key since the last one.
      return await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options });
    } catch (error) {
      if (options.signal?.aborted && options.signal.reason?.name !== "TimeoutError") throw error;
      throw new Refused(0);
    }
  }

  async #call(path, { method = "GET", body, headers } = {}) {
    const response = await this.fetch(path, {
      method,
      body: body && JSON.stringify(body),
      headers: { accept: "application/json", ...(body && { "content-type": "application/json" }), ...headers },
    });
    return response.status === 204 ? null : response.json();
  }

  /** A path with its query, and the user where requests name one. */
  #query(path, more = {}) {
    const named = { userId: this.#identity.userId, ...more };
    const query = new URLSearchParams(Object.entries(named).filter(([, it]) => it !== null && it !== undefined));
    return query.size ? `${path}?${query}` : path;
  }

  #body(more) {
    const userId = this.#identity.userId;
    return userId === null ? more : { userId, ...more };
  }

  /** Opens a session's events after a position, or where its running turn began. */
  events(session, last, signal) {
    return this.fetch(this.#query(`${sessionPath(session)}/events`), {
      headers: { accept: "text/event-stream", ...(last && { "last-event-id": last }) },
      signal,
    });
  }

  /** Submits a question; the same key never asks twice. */
  ask(session, question, key) {
    return this.#call(`${sessionPath(session)}/turns`, {
      method: "POST",
      body: this.#body(question),
      headers: { prefer: "respond-async", "idempotency-key": key },
    });
  }

  /** Decides calls that wait; the same key never decides twice. */
  decide(session, turnId, decisions, key) {
    return this.#call(`${sessionPath(session)}/decisions`, {
      method: "POST",
      body: this.#body({ turnId, decisions }),
      headers: { prefer: "respond-async", "idempotency-key": key },
    });
  }

  cancel(session, turnId) {
    return this.#call(`${sessionPath(session)}/cancel`, { method: "POST", body: this.#body({ turnId }) });
  }

  /** How a session stands, with what waits for a decision. */
  session(session) {
    return this.#call(this.#query(sessionPath(session)));
  }

  /** All that is kept of a session's turns; none of one that is not there. */
  async turns(session) {
    const turns = [];
    let cursor;
    do {
      const page = await this.#call(this.#query(`${sessionPath(session)}/turns`, { limit: 100, cursor })).catch((error) => {
        if (error.status === 404) return { turns: [] };
        throw error;
      });
      turns.push(...page.turns);
      cursor = page.cursor;
    } while (cursor);
    return turns;
  }

  /** A page of the user's sessions: `{sessions, cursor?}`. */
  sessions(cursor, limit = 50) {
    return this.#call(this.#query("/v1/sessions", { cursor, limit }));
  }

  rename(session, title) {
    return this.#call(sessionPath(session), { method: "PATCH", body: this.#body({ title }) });
  }

  erase(session) {
    return this.#call(this.#query(sessionPath(session)), { method: "DELETE" });
  }

  /** A page of what is remembered, or the best matches of `query`. */
  memories({ query, cursor, limit = 100 } = {}) {
    return this.#call(this.#query("/v1/memories", { query, cursor, limit }));
  }

  remember(text) {
    return this.#call("/v1/memories", { method: "POST", body: this.#body({ text }) });
  }

  forget(memory) {
    return this.#call(this.#query(`/v1/memories/${encodeURIComponent(memory)}`), { method: "DELETE" });
  }

  status() {
    return this.#call("/v1/status");
  }
}
