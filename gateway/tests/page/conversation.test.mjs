// What events and transcripts come to.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../page/model/conversation.js";

/** A conversation that has heard these events: `[kind, turnId, index, fields]`. */
function heard(...events) {
  const conversation = new Conversation();
  for (const [kind, turnId, index, fields] of events) conversation.apply(kind, { turnId, index, ...fields });
  return conversation;
}

const started = (turn, input, more = {}) => ["started", turn, 0, { started: { input, ...more } }];
const text = (turn, index, said) => ["text", turn, index, { text: said }];
const call = (turn, index, callId, wanted = "{}") => ["tool_call", turn, index, { toolCall: { callId, name: "t", arguments: wanted } }];
const result = (turn, index, callId, content) => ["tool_result", turn, index, { toolResult: { callId, content } }];
const completed = (turn, index) => ["completed", turn, index, { completed: {} }];
const failed = (turn, index) => ["failed", turn, index, { failed: { message: "no" } }];
const ids = (conversation) => conversation.turns.map((it) => it.id);
const kept = (turnId, status, ...messages) => ({ turnId, status, messages });
const said = (role, content, more = {}) => ({ role, content, ...more });

test("what is said stands in its order", () => {
  const { last } = heard(started("a", "q"), ["reasoning", "a", 1, { reasoning: "hm" }], text("a", 2, "one "), text("a", 3, "two"),
    call("a", 4, "c"), result("a", 5, "c", "42"), text("a", 6, "three"), completed("a", 7));
  assert.deepEqual(last.segments.map((it) => it.text ?? it.tool.result), ["hm", "one two", "42", "three"]);
  assert.equal(last.text, "one two\n\nthree");
  assert.equal(last.status, "completed");
});

test("a rewind takes back what came behind its place, results and sources too", () => {
  const conversation = heard(started("a", "q"), text("a", 1, "one "), text("a", 2, "two "), text("a", 3, "three"), call("a", 4, "c"),
    result("a", 5, "c", "42"), ["citation", "a", 6, { citation: { number: 1, source: "x" } }]);
  conversation.apply("rewind", { turnId: "a", index: 7, rewind: { to: 4 } });
  assert.equal(conversation.last.tools[0].result, undefined);
  assert.deepEqual(conversation.last.citations, []);
  conversation.apply("rewind", { turnId: "a", index: 8, rewind: { to: 2 } });
  assert.equal(conversation.last.text, "one two ");
  conversation.apply("rewind", { turnId: "a", index: 9, rewind: {} });
  assert.deepEqual(conversation.last.segments, []);
  conversation.apply("text", { turnId: "a", index: 1, text: "anew" });
  assert.equal(conversation.last.text, "anew");
});

test("a turn that is told from its beginning again is told once", () => {
  const conversation = heard(started("a", "q"), text("a", 1, "one"));
  conversation.apply("started", { turnId: "a", started: { input: "q" } });
  conversation.apply("text", { turnId: "a", index: 1, text: "one" });
  assert.equal(conversation.last.text, "one");
  assert.deepEqual(ids(conversation), ["a"]);
});

test("a human's decision goes on with the call of the turn before", () => {
  const conversation = heard(started("a", "q"), call("a", 1, "c", "{\"n\":1}"),
    ["interrupted", "a", 2, { interrupted: { calls: [{ callId: "c", argumentsHash: "h" }] } }]);
  assert.equal(conversation.review.turnId, "a");
  conversation.apply("started", { turnId: "b", started: { resumes: "a" } });
  assert.equal(conversation.review, null);
  conversation.apply("tool_call", { turnId: "b", index: 1, toolCall: { callId: "c", name: "t", arguments: "{\"n\":2}" } });
  conversation.apply("tool_result", { turnId: "b", index: 2, toolResult: { callId: "c", content: "done" } });
  const [tool] = conversation.find("a").tools;
  assert.deepEqual([tool.asked, tool.arguments, tool.result], ["{\"n\":1}", "{\"n\":2}", "done"]);
  assert.deepEqual(conversation.find("b").tools, []);
});

test("the transcript tells the same as the events did", () => {
  const conversation = new Conversation();
  conversation.load([
    kept("a", "interrupted", said("user", "q"), said("assistant", "I would.", { toolCalls: [{ callId: "c", name: "t", arguments: "{}" }] })),
    kept("b", "completed", said("tool", "42", { toolCallId: "c" }), said("assistant", "It is 42 [2].")),
  ]);
  assert.equal(conversation.find("a").tools[0].result, "42");
  assert.equal(conversation.find("b").resumes, "a");
  assert.equal(conversation.last.text, "It is 42 [2].");
});

test("only the sources that the text names are told", () => {
  const conversation = new Conversation();
  const sources = [{ number: 1, source: "one" }, { number: 2, source: "two" }];
  conversation.load([{ ...kept("a", "completed", said("user", "q"), said("assistant", "see [2]")), sources }]);
  assert.deepEqual(conversation.last.citations.map((it) => it.source), ["two"]);
});

test("what was heard to its end is not told worse by the transcript", () => {
  const conversation = heard(started("a", "q"), ["reasoning", "a", 1, { reasoning: "hm" }], failed("a", 2));
  conversation.load([kept("a", "failed", said("user", "q"))]);
  assert.equal(conversation.last.detail.message, "no");
  assert.equal(conversation.last.segments[0].text, "hm");
});

test("all sources that are kept are told where the text names none", () => {
  const conversation = new Conversation();
  const sources = [{ number: 1, source: "one" }, { number: 2, source: "two" }];
  conversation.load([{ ...kept("a", "completed", said("user", "q"), said("assistant", "so")), sources }]);
  assert.equal(conversation.last.citations.length, 2);
});

test("a turn that runs is told by the stream and not by the transcript", () => {
  const conversation = new Conversation();
  conversation.load([kept("a", "running", said("user", "q"), said("assistant", "one two"))]);
  assert.equal(conversation.last.text, "");
  conversation.apply("started", { turnId: "a", started: { input: "q" } });
  conversation.apply("text", { turnId: "a", index: 2, text: "one two three" });
  assert.equal(conversation.last.text, "one two three");
});

test("turns that wait stand behind those that began, and know how many come first", () => {
  const conversation = heard(started("a", "first"));
  const local = conversation.add("local-1", "third");
  conversation.add("w", "second", { status: "queued" });
  conversation.accepted(local, "z");
  assert.equal(conversation.before(conversation.find("w")), 2);
  conversation.apply("completed", { turnId: "a", index: 1, completed: {} });
  conversation.apply("started", { turnId: "w", started: { input: "second" } });
  assert.deepEqual(ids(conversation), ["a", "w", "z"]);
  assert.equal(conversation.before(conversation.find("z")), 1);
});

test("the stream may be faster than the answer to the question", () => {
  const conversation = new Conversation();
  const local = conversation.add("local-1", "q");
  conversation.apply("started", { turnId: "a", started: { input: "q" } });
  assert.equal(conversation.find("a"), local);
  assert.deepEqual(ids(conversation), ["a"]);
});

test("a question in another one's place takes it and what followed away", () => {
  const conversation = heard(started("a", "1"), completed("a", 1), started("b", "2"), completed("b", 1), started("c", "3"), completed("c", 1));
  const local = conversation.add("local-1", "2 again", { replaces: "b" });
  assert.deepEqual(ids(conversation), ["a", "local-1"]);
  conversation.accepted(local, "d");
  assert.deepEqual(ids(conversation), ["a", "d"]);
  conversation.apply("started", { turnId: "d", started: { input: "2 again", replaces: "b" } });
  conversation.apply("completed", { turnId: "d", index: 1, completed: {} });
  assert.deepEqual(ids(conversation), ["a", "d"]);
});

test("what was replaced is back when the question was refused, or its answer failed", () => {
  const conversation = heard(started("a", "1"), completed("a", 1));
  const local = conversation.add("local-1", "again", { replaces: "a" });
  conversation.remove(local);
  assert.deepEqual(ids(conversation), ["a"]);
  for (const [kind, turnId, index, fields] of [started("b", "again", { replaces: "a" }), failed("b", 1)]) {
    conversation.apply(kind, { turnId, index, ...fields });
  }
  assert.deepEqual(ids(conversation), ["a", "b"]);
});

test("a retry of a failed edit stands where the edit was to stand", () => {
  const conversation = heard(started("a", "1"), completed("a", 1), started("b", "2"), completed("b", 1),
    started("c", "2 edited", { replaces: "b" }), failed("c", 1));
  assert.deepEqual(ids(conversation), ["a", "b", "c"]);
  conversation.apply("started", { turnId: "d", started: { input: "2 edited", replaces: "c" } });
  assert.deepEqual(ids(conversation), ["a", "d"]);
});

test("a reader that missed a replacement cuts where another one of the same turn stands", () => {
  const conversation = heard(started("a", "1"), completed("a", 1));
  conversation.load([kept("c", "completed", said("user", "x"))]);
  conversation.find("c").replaces = "gone";
  conversation.apply("started", { turnId: "d", started: { input: "y", replaces: "gone" } });
  assert.deepEqual(ids(conversation), ["d"]);
});

test("another device's replacement is heard of", () => {
  const conversation = heard(started("a", "1"), completed("a", 1), started("b", "2"), completed("b", 1));
  conversation.apply("started", { turnId: "c", started: { input: "x", replaces: "a" } });
  assert.deepEqual(ids(conversation), ["c"]);
});

test("questions that only this page knows of stay when what is kept is loaded", () => {
  const conversation = new Conversation();
  conversation.add("local-1", "mine", { replaces: "b" });
  conversation.load([kept("a", "completed", said("user", "1")), kept("b", "completed", said("user", "2"))]);
  assert.deepEqual(ids(conversation), ["a", "local-1"]);
});

test("usage is summed over the steps of a turn", () => {
  const usage = (index, inputTokens, outputTokens) => ["usage", "a", index, { usage: { inputTokens, outputTokens, model: "m" } }];
  const { last } = heard(started("a", "q"), usage(1, 10, 5), usage(2, 20, 1));
  assert.deepEqual(last.usage, { inputTokens: 30, outputTokens: 6, model: "m" });
});
