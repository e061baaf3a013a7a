// A question and what came of it, in the order it was said. Pure.

export const ENDINGS = ["completed", "interrupted", "failed", "cancelled"];
const ACTIVE = ["sending", "queued", "running"];

/**
 * One turn. `status` is `sending` or `unsent` while only this page knows of it,
 * then `queued`, `running`, or one of `ENDINGS`. `segments` is what it said:
 *
 * - `{kind: "text" | "reasoning", text}`
 * - `{kind: "tool", tool}`; a tool is `{callId, name, arguments, result?, isError?,
 *   asked?, decided?}`, `isError` being `null` where that was not kept, `decided`
 *   what was decided about it here, `asked` the arguments as the model wanted
 *   them where a human has changed them.
 */
export class Turn {
  constructor(id, input, status = "queued") {
    this.id = id;
    this.input = input;
    this.status = status;
    /** The turn that it goes on with: a human has decided about its calls. */
    this.resumes = null;
    /** The turn in whose place it stands. */
    this.replaces = null;
    /** The id of the turn that stands in its place. */
    this.replacedBy = null;
    /** What its ending says. */
    this.detail = null;
    this.stopping = false;
    this.usage = null;
    this.at = null;
    this.reset();
  }

  /** Forgets what was said: it is told from the beginning. */
  reset() {
    this.segments = [];
    this.cited = [];
    this.detail = null;
    this.usage = null;
  }

  get isActive() {
    return ACTIVE.includes(this.status);
  }

  /** Whether only this page knows of it. */
  get isLocal() {
    return this.status === "sending" || this.status === "unsent";
  }

  /** What was said to the human. */
  get text() {
    const texts = this.segments.filter((it) => it.kind === "text").map((it) => it.text);
    return texts.join("\n\n");
  }

  get tools() {
    return this.segments.filter((it) => it.kind === "tool").map((it) => it.tool);
  }

  /** The sources that the text names, each once, by their numbers. */
  get citations() {
    const byNumber = new Map(this.cited.map((it) => [it.citation.number, it.citation]));
    return [...byNumber.values()].sort((one, other) => one.number - other.number);
  }

  /** Takes an event of this turn; `tool(callId)` finds calls of earlier turns. */
  apply(kind, data, tool = () => undefined) {
    const index = data.index ?? 0;
    if (kind === "started") this.#start(data.started);
    else if (kind === "text" || kind === "reasoning") this.#say(kind, data[kind], index);
    else if (kind === "tool_call") this.#call(data.toolCall, index, tool);
    else if (kind === "tool_result") this.#result(data.toolResult, index, tool);
    else if (kind === "citation") this.cited.push({ index, citation: data.citation });
    else if (kind === "usage") this.#count(data.usage);
    else if (kind === "rewind") this.#rewind(data.rewind.to ?? 0);
    else if (ENDINGS.includes(kind)) this.#end(kind, data[kind] ?? {});
  }

  #start({ input = "", resumes = null, replaces = null }) {
    this.reset();
    this.input = input;
    this.resumes = resumes || null;
    this.replaces = replaces || null;
    this.status = "running";
  }

  #end(kind, detail) {
    this.status = kind;
    this.detail = detail;
    this.stopping = false;
  }

  #say(kind, text, index) {
    let last = this.segments.at(-1);
    if (last?.kind !== kind) {
      last = { kind, text: "", pieces: [] };
      this.segments.push(last);
    }
    last.text += text;
    last.pieces.push([index, text.length]);
  }

  #call({ callId, name = "", arguments: wanted = "{}" }, index, find) {
    const known = find(callId);
    // A human has changed the arguments: it is the same call.
    if (known) return void Object.assign(known, { asked: known.asked ?? known.arguments, arguments: wanted });
    return void this.segments.push({ kind: "tool", index, tool: { callId, name, arguments: wanted } });
  }

  #result({ callId, name, content = "", isError = false }, index, find) {
    const tool = find(callId);
    if (tool) return void Object.assign(tool, { result: content, isError, answeredAt: [this.id, index] });
    return void this.segments.push({ kind: "tool", index, tool: { callId, name: name ?? "", arguments: "", result: content, isError } });
  }

  #count(usage) {
    const sum = (name) => (this.usage?.[name] ?? 0) + (usage[name] ?? 0);
    this.usage = { inputTokens: sum("inputTokens"), outputTokens: sum("outputTokens"), model: usage.model ?? this.usage?.model };
  }

  /** Takes back what came behind an event. */
  #rewind(to) {
    this.cited = this.cited.filter((it) => it.index <= to);
    this.segments = this.segments.filter((it) => (it.pieces ? this.#shorten(it, to) : it.index <= to));
    for (const { result, answeredAt, ...tool } of this.tools) {
      if (result !== undefined && answeredAt?.[0] === this.id && answeredAt[1] > to) {
        const kept = this.segments.find((it) => it.tool?.callId === tool.callId);
        delete kept.tool.result;
      }
    }
  }

  #shorten(segment, to) {
    while (segment.pieces.length && segment.pieces.at(-1)[0] > to) {
      segment.text = segment.text.slice(0, segment.text.length - segment.pieces.pop()[1]);
    }
    return segment.pieces.length > 0;
  }

  /** Takes the turn as the transcript tells it. */
  load(kept, tool = () => undefined) {
    // Who heard it to its end knows more: its reasoning, why it failed.
    if (!this.isActive && this.status === kept.status && this.detail) return;
    this.reset();
    this.status = kept.status;
    this.at = kept.at ?? null;
    this.replaces = kept.replaces ?? null;
    const question = kept.messages.find((it) => it.role === "user");
    this.input = kept.messages.filter((it) => it.role === "user").at(-1)?.content ?? "";
    this.resumes = question || !kept.messages.length ? this.resumes : this.resumes ?? "";
    // What runs is told by the stream, from its beginning.
    if (kept.status === "running" || kept.status === "queued") return;
    const asked = kept.messages.findLastIndex((it) => it.role === "user");
    for (const message of kept.messages.slice(asked + 1)) this.#message(message, tool);
    this.cited = named(kept.sources ?? [], this.text).map((citation) => ({ index: 0, citation }));
    this.detail = {};
  }

  #message({ role, content, toolCalls = [], toolCallId }, tool) {
    const find = (callId) => this.tools.find((it) => it.callId === callId) ?? tool(callId);
    if (role === "tool") return this.#result({ callId: toolCallId, content, isError: null }, 0, find);
    if (content) this.#say("text", content, 0);
    return toolCalls.forEach((it) => this.#call(it, 0, find));
  }
}

/** The sources that a text names; all of them where it names none. */
function named(sources, text) {
  const numbers = new Set([...text.matchAll(/\[(\d{1,3})\]/g)].map((it) => Number(it[1])));
  const cited = sources.filter((it) => numbers.has(it.number));
  return cited.length ? cited : sources;
}
