// What the cards are made of: JSON as it is written, what differs, and how a
// call stands.

import assert from "node:assert/strict";
import { test } from "node:test";

import { cut, heard, line, named, standing } from "../../page/model/call.js";
import { Conversation } from "../../page/model/conversation.js";
import { differences, hunks } from "../../page/model/diff.js";
import { compact, endOf, indented, members, same, tokens, visible, wrong } from "../../page/model/json.js";

/** JSON texts that hold everything that JSON can, made from a number. */
function made(seed) {
  let state = seed;
  const next = (most) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % most;
  };
  const texts = ["", "a", "\n\t\"\\/", "你好", "\u202e", "😀", "{\"x\":[1,2]}", "\u0000"];
  const value = (depth) => {
    const kind = next(depth > 3 ? 4 : 6);
    if (kind === 4) return Array.from({ length: next(4) }, () => value(depth + 1));
    if (kind === 5) return Object.fromEntries(Array.from({ length: next(4) }, (_, n) => [texts[next(8)] + n, value(depth + 1)]));
    return [null, next(2) === 0, (next(2000) - 1000) / 8, texts[next(8)]][kind];
  };
  return value(0);
}

test("whatever is JSON is read as JSON.parse reads it, indented and compact", () => {
  for (let seed = 1; seed < 3_000; seed += 1) {
    const value = made(seed);
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 3), ` ${JSON.stringify(value)}\n`]) {
      assert.deepEqual(JSON.parse(indented(text)), value);
      assert.equal(compact(text), JSON.stringify(value));
      assert.equal(indented(indented(text)), indented(text));
      assert.ok(same(text, indented(text)));
    }
  }
});

test("whatever JSON.parse refuses is refused, and the other way round", () => {
  const signs = ["{", "}", "[", "]", ",", ":", '"', "a", "\\", "1", "-", ".", "e", "true", "null", " ", "\n", "\u0001", "\\u00e9", '"x"'];
  let state = 7;
  for (let n = 0; n < 40_000; n += 1) {
    let text = "";
    for (let at = 0; at < 1 + (n % 7); at += 1) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      text += signs[(state >>> 8) % signs.length];
    }
    let parses = true;
    try {
      JSON.parse(text);
    } catch {
      parses = false;
    }
    assert.equal(tokens(text) !== null, parses, JSON.stringify(text));
  }
});

test("what is wrong is told with its line and its column", () => {
  const rows = [
    ["{}", null],
    ['{"a": 1}', null],
    ["", "end", 1, 1],
    ['{"a": 1', "end", 1, 8],
    ["[1]", "object", 1, 1],
    ['\n  "x"', "object", 2, 3],
    ['{"a": 1,}', "name", 1, 9],
    ["{a: 1}", "name", 1, 2],
    ['{"a" 1}', "colon", 1, 6],
    ['{\n  "a": 1\n  "b": 2\n}', "comma", 3, 3],
    ['{"a": tru}', "value", 1, 7],
    ['{"a": \'x\'}', "value", 1, 7],
    ['{"a": 01}', "number", 1, 7],
    ['{"a": 1.}', "number", 1, 7],
    ['{"a": -}', "number", 1, 7],
    ['{\n"a": "b\n}', "open", 2, 6],
    ['{"a": "b', "open", 1, 7],
    ['{"a": "\\x"}', "escape", 1, 8],
    ['{"a": "\\u12"}', "escape", 1, 8],
    ['{"a": "\t"}', "control", 1, 8],
    ['{"a": 1, "a": 2}', "twice", 1, 10],
    ['{"a": 1, "\\u0061": 2}', "twice", 1, 10],
    ['{"a": 1} x', "more", 1, 10],
    ['{"😀你": x}', "value", 1, 8],
    [`${"[".repeat(127)}${"]".repeat(127)}`, "object", 1, 1],
    ["[".repeat(200_000), "deep", 1, 128],
  ];
  for (const [text, what, at, column] of rows) {
    const expected = what === null ? null : { what, line: at, column };
    assert.deepEqual(wrong(text), expected, text.slice(0, 40));
  }
});

test("indenting keeps every digit and every member", () => {
  const text = '{"id":12345678901234567890,"x":1.50,"e":1E+2,"o":{},"l":[],"n":[[1],{"a":null}]}';
  const shown = indented(text);
  assert.equal(shown, `{
  "id": 12345678901234567890,
  "x": 1.50,
  "e": 1E+2,
  "o": {},
  "l": [],
  "n": [
    [
      1
    ],
    {
      "a": null
    }
  ]
}`);
  assert.equal(compact(shown), text);
  assert.ok(!same('{"a":1}', '{"a":1.0}'), "another text is another number");
  assert.ok(!same('{"id":12345678901234567890}', '{"id":12345678901234567891}'));
  assert.ok(same('{"a":"\\u4f60"}', '{"a":"你"}'));
  assert.equal(indented("not json"), null);
  assert.equal(compact("{"), null);
});

test("what would hide in a text, or turn it around, is shown", () => {
  const hidden = "a\u202eb\u200bc\u0007d\u2028e\ufefff";
  assert.equal(visible(hidden), "a\\u202eb\\u200bc\\u0007d\\u2028e\\ufefff");
  assert.equal(visible("line\n\tnext 你好 😀 é ❤️"), "line\n\tnext 你好 😀 é ❤️");
  const text = JSON.stringify({ path: hidden, name: "\udb40\udc41" });
  assert.ok(!/[\u202e\u200b\u2028\ufeff]|\udb40/.test(indented(text)));
  assert.deepEqual(JSON.parse(indented(text)), JSON.parse(text));
  assert.equal(named("a__b\u202ec").tool, "b\\u202ec");
});

test("a tool's name tells its server", () => {
  assert.deepEqual(named("files__write_file"), { tool: "write_file", server: "files" });
  assert.deepEqual(named("a__b__c"), { tool: "b__c", server: "a" });
  for (const name of ["remember", "__x", "x__", "", "_"]) assert.deepEqual(named(name), { tool: name });
});

test("arguments are told in a line, the short ones first", () => {
  assert.equal(line('{"content":"a long\\ntext","path":"a.txt","n":2}'), "n: 2 · path: a.txt · content: a long\\ntext");
  assert.equal(line("{}"), "");
  assert.equal(line('{"a":{"b":[1,{"c":"}"}]},"d":[]}'), 'd: [] · a: {"b":[1,{"c":"}"}]}');
  assert.equal(line("not\n  json"), "not json");
  assert.ok(line(JSON.stringify({ a: "x".repeat(100_000), b: "y".repeat(100_000) })).length <= 160);
  assert.deepEqual(members('{"a":"say \\"hi\\"","b":-1.0}'), [["a", 'say "hi"'], ["b", "-1.0"]]);
  assert.equal(members("[1]"), null);
});

test("what is cut keeps its characters whole", () => {
  assert.equal(cut("abc", 3), "abc");
  assert.equal(cut("abcd", 3), "ab…");
  assert.equal(cut("a😀bc", 3), "a…");
  assert.equal(cut("ab😀c", 3), "ab…");
});

test("the lines that differ make both texts", () => {
  const texts = (all, kind) => all.filter((it) => it.kind === "same" || it.kind === kind).map((it) => it.text).join("\n");
  const rows = [["a\nb\nc", "a\nx\nc"], ["", "a"], ["a\na\na", "a"], ["x", "x"], ["a\nb\nc\nd", "b\nc\ne\nd\nf"], ["1\n2\n1", "2\n1\n2"]];
  for (const [before, after] of rows) {
    const all = differences(before, after);
    assert.equal(texts(all, "gone"), before);
    assert.equal(texts(all, "come"), after);
  }
  assert.deepEqual(differences("a\nb\nc", "a\nx\nc").map((it) => it.kind), ["same", "gone", "come", "same"]);
  assert.ok(differences("same", "same").every((it) => it.kind === "same"));
});

test("texts that differ in everything are compared in bounded time", () => {
  const many = (letter) => Array.from({ length: 20_000 }, (_, n) => `${letter}${n}`).join("\n");
  const all = differences(many("a"), many("b"));
  assert.equal(all.length, 40_000);
});

test("unchanged lines far from a change are counted and left out", () => {
  const before = Array.from({ length: 20 }, (_, n) => `${n}`);
  const after = before.with(10, "x");
  const shown = hunks(differences(before.join("\n"), after.join("\n")));
  assert.deepEqual(shown.map((it) => it.count ?? it.text), [8, "8", "9", "10", "x", "11", "12", 7]);
});

test("a result says that a human rejected or changed a call only where one was asked", () => {
  const turn = { id: "one" };
  const by = (result, answered = "two", isError = null) => heard({ result, isError, answeredAt: [answered, 1] }, turn);
  const rejected = "The user rejected this call; it was not made.";
  assert.deepEqual(by(rejected), { text: "", rejected: "" });
  assert.deepEqual(by(`${rejected} They said: no`, "two", true), { text: "", rejected: "no" });
  assert.deepEqual(by(rejected, "one"), { text: rejected }, "a tool that says so itself");
  assert.deepEqual(by(rejected, "two", false), { text: rejected }, "a rejection is an error");
  assert.deepEqual(by(`${rejected} really`), { text: `${rejected} really` });
  const changed = 'The user changed the arguments to {"a":"}\\n\\n"}\n\ndone\n\nyes';
  assert.deepEqual(by(changed), { text: "done\n\nyes", changed: '{"a":"}\\n\\n"}' });
  assert.deepEqual(by(changed, "one"), { text: changed });
  assert.equal(by("The user changed the arguments to much").changed, undefined);
  assert.equal(endOf('x{"a":[1]} y', 1), 10);
  assert.equal(endOf("x{", 1), -1);
});

/** A conversation in which a turn asked for two calls that wait for a human. */
function reviewed() {
  const conversation = new Conversation();
  const say = (turnId, kind, data = {}) => conversation.apply(kind, { turnId, [kind.replace(/_(.)/, (_, it) => it.toUpperCase())]: data });
  say("one", "started", { input: "do it" });
  for (const callId of ["a", "b"]) say("one", "tool_call", { callId, name: "t__count", arguments: "{}" });
  const stands = () => conversation.find("one").tools.map((it) => standing(it, conversation.find("one"), conversation));
  return { conversation, say, stands };
}

test("a call stands where its turn and its human have left it", () => {
  const { conversation, say, stands } = reviewed();
  assert.deepEqual(stands(), ["running", "running"]);
  const calls = ["a", "b"].map((callId) => ({ callId, name: "t__count", arguments: "{}" }));
  say("one", "interrupted", { calls });
  assert.deepEqual(stands(), ["waiting", "waiting"]);
  say("two", "started", { resumes: "one" });
  assert.deepEqual(stands(), ["running", "running"], "another window has decided about some of them");
  conversation.find("one").tools[0].decided = "respond";
  assert.deepEqual(stands(), ["running", "waiting"]);
  say("two", "tool_result", { callId: "a", name: "t__count", content: "42" });
  say("two", "interrupted", { calls: calls.slice(1) });
  assert.deepEqual(stands(), ["answered", "waiting"]);
  say("three", "started", { input: "something else" });
  assert.deepEqual(stands(), ["answered", "undecided"], "the conversation went on without a decision");
});

test("a call without a result is never said to be done", () => {
  for (const kind of ["failed", "cancelled"]) {
    const { say, stands } = reviewed();
    say("one", "tool_result", { callId: "a", content: "no", isError: true });
    say("one", kind);
    assert.deepEqual(stands(), ["failed", "broken"]);
  }
});
