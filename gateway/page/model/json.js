// JSON as it is written: where it is wrong, and the same text indented or on one
// line. Pure. Changes no value: numbers keep their digits and names that stand
// twice stand twice, which parsing and writing again would lose.

/** The deepest nesting that is read, as the agent's own reader has it. */
const DEEPEST = 127;

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /[A-Za-z]+/y;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const WORDS = ["true", "false", "null"];
const CLOSES = { "{": "}", "[": "]" };

/** Shows as nothing, or changes how what stands beside it shows. */
const HIDDEN = /(?!\ufe0f)[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Zl}\p{Zp}\ufff9-\ufffb]/gu;

class Wrong extends Error {
  constructor(what, at) {
    super(what);
    this.what = what;
    this.at = at;
  }
}

/** Cuts a text into tokens, `{kind, raw}`; throws `Wrong`. */
class Reader {
  tokens = [];
  #text;
  #at;
  /** What is open around here: `{close, names}`. */
  #open = [];
  #expects = "value";
  /** What may stand where, by what is expected. */
  #steps = {
    value: (sign) => this.#value(sign),
    first: (sign) => (sign === "]" ? this.#end(sign) : this.#value(sign)),
    name: (sign) => this.#name(sign),
    firstName: (sign) => (sign === "}" ? this.#end(sign) : this.#name(sign)),
    colon: (sign) => this.#colon(sign),
    comma: (sign) => this.#comma(sign),
  };

  constructor(text, at = 0) {
    this.#text = text;
    this.#at = at;
  }

  /** Reads one value; where it ends. */
  value() {
    while (this.#expects !== "end") {
      this.#match(SPACE);
      if (this.#at >= this.#text.length) throw new Wrong("end", this.#text.length);
      this.#steps[this.#expects](this.#text[this.#at]);
    }
    return this.#at;
  }

  /** Reads one value and nothing behind it. */
  whole() {
    this.value();
    this.#match(SPACE);
    if (this.#at < this.#text.length) throw new Wrong("more", this.#at);
    return this.tokens;
  }

  #value(sign) {
    if (CLOSES[sign]) this.#begin(sign);
    else this.#single(sign);
  }

  #single(sign) {
    if (sign === '"') this.#string();
    else if (/[-\d]/.test(sign)) this.#number();
    else this.#word();
    this.#ended();
  }

  #name(sign) {
    if (sign !== '"') throw new Wrong("name", this.#at);
    const at = this.#at;
    const name = JSON.parse(this.#string());
    const { names } = this.#open.at(-1);
    if (names.has(name)) throw new Wrong("twice", at);
    names.add(name);
    this.#expects = "colon";
  }

  #colon(sign) {
    if (sign !== ":") throw new Wrong("colon", this.#at);
    this.#take(sign, sign);
    this.#expects = "value";
  }

  #comma(sign) {
    const { close } = this.#open.at(-1);
    if (sign === close) this.#end(sign);
    else this.#next(sign, close);
  }

  #next(sign, close) {
    if (sign !== ",") throw new Wrong("comma", this.#at);
    this.#take(sign, sign);
    this.#expects = close === "}" ? "name" : "value";
  }

  #begin(sign) {
    if (this.#open.length >= DEEPEST) throw new Wrong("deep", this.#at);
    this.#open.push({ close: CLOSES[sign], names: new Set() });
    this.#take(sign, sign);
    this.#expects = sign === "{" ? "firstName" : "first";
  }

  #end(sign) {
    this.#open.pop();
    this.#take(sign, sign);
    this.#ended();
  }

  #ended() {
    this.#expects = this.#open.length ? "comma" : "end";
  }

  #string() {
    const raw = this.#match(STRING);
    if (raw) return this.#push("string", raw);
    throw this.#unclosed();
  }

  /** What is wrong with the string that begins here, and where. */
  #unclosed() {
    for (let at = this.#at + 1; at < this.#text.length; at += 1) {
      const sign = this.#text[at];
      if (sign === "\n" || sign === "\r") return new Wrong("open", this.#at);
      if (sign < " ") return new Wrong("control", at);
      if (sign !== "\\") continue;
      if (!/^(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(this.#text.slice(at + 1, at + 6))) return new Wrong("escape", at);
      at += 1;
    }
    return new Wrong("open", this.#at);
  }

  #number() {
    const raw = this.#match(NUMBER);
    const next = this.#text[this.#at] ?? "";
    if (!raw || /[\w.+-]/.test(next)) throw new Wrong("number", this.#at - (raw?.length ?? 0));
    this.#push("number", raw);
  }

  #word() {
    const raw = this.#match(WORD);
    if (!WORDS.includes(raw)) throw new Wrong("value", this.#at - (raw?.length ?? 0));
    this.#push("word", raw);
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    const raw = pattern.exec(this.#text)?.[0];
    this.#at += raw?.length ?? 0;
    return raw;
  }

  #take(kind, raw) {
    this.#at += raw.length;
    this.#push(kind, raw);
  }

  #push(kind, raw) {
    this.tokens.push({ kind, raw });
    return raw;
  }
}

/** `read()`, or `otherwise(wrong)` where the text is no JSON. */
function attempt(read, otherwise) {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return otherwise(error);
  }
}

/** The tokens of a JSON text, `{kind, raw}`; `null` where it is none. */
export const tokens = (text) => attempt(() => new Reader(text).whole(), () => null);

/** The index behind the JSON value that begins at `at`; `-1` where none does. */
export const endOf = (text, at) => attempt(() => new Reader(text, at).value(), () => -1);

/**
 * What is wrong with a text that is to be a JSON object: `{what, line, column}`,
 * both from 1, or `null`. `what` is `value`, `name`, `colon`, `comma`, `number`,
 * `open` (a string without its end), `escape`, `control`, `twice` (a name),
 * `deep`, `more` (behind the end), `end` (too early) or `object` (it is JSON and
 * no object).
 */
export function wrong(text) {
  const found = attempt(() => new Reader(text).whole(), (error) => error);
  if (!(found instanceof Wrong)) return found[0].kind === "{" ? null : place(text, "object", text.search(/\S/));
  return place(text, found.what, found.at);
}

function place(text, what, at) {
  const before = text.slice(0, at);
  const line = before.split("\n").length;
  // Characters, not the units that they are kept in.
  const column = [...before.slice(before.lastIndexOf("\n") + 1)].length + 1;
  return { what, line, column };
}

/** A text in which nothing is hidden: what shows as nothing, or turns the text
 *  around, is written as its escape. Line breaks and tabs stay. */
export const visible = (text) => text.replace(HIDDEN, (it) => ("\n\t".includes(it) ? it : escaped(it)));

const escaped = (text) =>
  [...Array(text.length).keys()].map((at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`).join("");

/** A token as a reader is shown it: the same value, in letters where it can be. */
function shown({ kind, raw }) {
  return kind === "string" ? JSON.stringify(JSON.parse(raw)).replace(HIDDEN, escaped) : raw;
}

/** The JSON text with each part on a line of its own; `null` where it is none. */
export function indented(text) {
  const all = tokens(text);
  if (!all) return null;
  const out = [];
  let depth = 0;
  const breaks = () => out.push(`\n${"  ".repeat(depth)}`);
  all.forEach((token, at) => {
    const { kind } = token;
    const empty = CLOSES[kind] && all[at + 1].kind === CLOSES[kind];
    const closes = kind === "}" || kind === "]";
    if (closes) depth -= 1;
    if (closes && !CLOSES[all[at - 1].kind]) breaks();
    out.push(kind === ":" ? ": " : shown(token));
    if (CLOSES[kind]) depth += 1;
    if ((CLOSES[kind] && !empty) || kind === ",") breaks();
  });
  return out.join("");
}

/** The JSON text without spaces between its parts, otherwise as it is written. */
export const compact = (text) => tokens(text)?.map((it) => it.raw).join("") ?? null;

/** Whether two JSON texts say the same in the same order, digit by digit. */
export function same(one, other) {
  const [these, those] = [tokens(one), tokens(other)];
  if (!these || !those) return one === other;
  return these.length === those.length && these.every((it, at) => shown(it) === shown(those[at]));
}

/** The members of a JSON object, `[name, value]`, as texts for a reader; `null`
 *  where it is no object. Strings lose their quotes. */
export function members(text) {
  const all = tokens(text);
  if (all?.[0].kind !== "{") return null;
  const found = [];
  let depth = 0;
  all.slice(1, -1).forEach((token) => {
    const { kind } = token;
    if (depth === 0 && kind === ",") return;
    const last = found.at(-1);
    if (depth === 0 && kind === ":") last.value = [];
    else if (depth === 0 && (!last || last.done)) found.push({ name: bare(token) });
    else last.value.push(token);
    if (CLOSES[kind]) depth += 1;
    else if (kind === "}" || kind === "]") depth -= 1;
    const ends = found.at(-1);
    ends.done = depth === 0 && Boolean(ends.value?.length);
  });
  return found.map(({ name, value }) => [name, value.length === 1 ? bare(value[0]) : value.map(shown).join("")]);
}

const bare = (token) => (token.kind === "string" ? shown(token).slice(1, -1).replaceAll('\\"', '"') : shown(token));
