// Conversations as files, and which of them are found.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fileName, json, markdown } from "../../page/export.js";
import { Conversation } from "../../page/model/conversation.js";
import { found } from "../../page/sidebar/search.js";

function turns() {
  const conversation = new Conversation();
  conversation.apply("started", { turnId: "a", started: { input: "two\nlines" } });
  conversation.apply("text", { turnId: "a", index: 1, text: "See [1]." });
  conversation.apply("tool_call", { turnId: "a", index: 2, toolCall: { callId: "c", name: "t", arguments: "{\"a\":\"```\"}" } });
  conversation.apply("tool_result", { turnId: "a", index: 3, toolResult: { callId: "c", content: "42" } });
  conversation.apply("citation", { turnId: "a", index: 4, citation: { number: 1, source: "x.md", heading: "H", firstLine: 3 } });
  conversation.apply("failed", { turnId: "a", index: 5, failed: { message: "broke\nhere" } });
  return conversation.turns;
}

test("Markdown has everything that was said, and fences that hold", () => {
  const text = markdown("A\ntitle", turns());
  assert.equal(text, "# A title\n\n> two\n> lines\n\nSee [1].\n\n**t**\n\n````\n{\"a\":\"```\"}\n````\n\n```\n42\n```\n\n"
    + "*(failed: broke here)*\n\n- [1] x.md · H:3\n");
});

test("JSON reads back with questions, calls, results and errors", () => {
  const read = JSON.parse(json("s", "T", turns()));
  assert.equal(read.sessionId, "s");
  assert.equal(read.turns[0].input, "two\nlines");
  assert.deepEqual(read.turns[0].said[1], { kind: "tool", callId: "c", name: "t", arguments: "{\"a\":\"```\"}", result: "42" });
  assert.equal(read.turns[0].error.message, "broke\nhere");
});

test("a file's name is one that every system takes", () => {
  for (const [title, name] of [
    ["What is Weir?", "What is Weir.md"],
    ["../../etc/passwd", "etc passwd.md"],
    ["a\u202egpj.exe", "a gpj.exe.md"],
    ["", "conversation.md"],
    ["对话", "对话.md"],
    ["x".repeat(300), `${"x".repeat(60)}.md`],
    ["🌊".repeat(100), `${"🌊".repeat(60)}.md`],
  ]) assert.equal(fileName(title, "md"), name);
});

test("conversations are found by all the words, wherever they stand", () => {
  const sessions = [{ title: "Red Boats", lastAnswer: "on the river" }, { lastQuestion: "blue boats" }, { title: "河流" }];
  assert.deepEqual(found(sessions, " boats  RED "), [sessions[0]]);
  assert.equal(found(sessions, "boats").length, 2);
  assert.deepEqual(found(sessions, "河"), [sessions[2]]);
  assert.equal(found(sessions, "  ").length, 3);
  assert.equal(found(sessions, "none").length, 0);
});
