// A conversation as a file: Markdown to read, JSON to go on with. The texts are
// pure; saving is the browser's.

import { element } from "./dom.js";

/** The conversation as Markdown. */
export function markdown(title, turns) {
  const parts = [`# ${oneLine(title)}`];
  for (const turn of turns) {
    if (turn.input) parts.push(quoted(turn.input));
    for (const segment of turn.segments) {
      if (segment.kind === "text") parts.push(segment.text.trim());
      if (segment.kind === "tool") parts.push(call(segment.tool));
    }
    if (turn.status !== "completed") parts.push(`*(${turn.status}${turn.detail?.message ? `: ${oneLine(turn.detail.message)}` : ""})*`);
    if (turn.citations.length) parts.push(turn.citations.map(source).join("\n"));
  }
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}

/** The conversation as JSON, with everything that the page knows of it. */
export function json(session, title, turns) {
  const told = turns.map(({ id, at, status, resumes, input, segments, citations, usage, detail }) => ({
    turnId: id,
    at: at ?? undefined,
    status,
    resumes: resumes ?? undefined,
    input: input || undefined,
    said: segments.map(({ kind, text, tool }) => (kind === "tool" ? { kind, ...clean(tool) } : { kind, text })),
    sources: citations.length ? citations : undefined,
    usage: usage ?? undefined,
    error: status === "failed" ? detail : undefined,
  }));
  return `${JSON.stringify({ sessionId: session, title, turns: told }, null, 2)}\n`;
}

/** Hands a text to the browser as a file. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A name for a file, which every system takes. */
export function fileName(title, ending) {
  const plain = title.replace(/[\p{Cc}\p{Cf}\\/:*?"<>|]+/gu, " ").replace(/\s+/g, " ").trim().replace(/^[. ]+|[. ]+$/g, "");
  return `${[...plain].slice(0, 60).join("") || "conversation"}.${ending}`;
}

const oneLine = (text) => text.replace(/\s+/g, " ").trim();
const quoted = (text) => text.split("\n").map((it) => `> ${it}`.trimEnd()).join("\n");
const source = ({ number, source: file, heading, firstLine }) =>
  `- [${number}] ${oneLine([file, heading].filter(Boolean).join(" · "))}${firstLine ? `:${firstLine}` : ""}`;

function call({ name, arguments: wanted, result }) {
  const parts = [`**${name}**`, fenced(wanted)];
  if (result !== undefined) parts.push(fenced(result));
  return parts.join("\n\n");
}

/** A block of code whose fence is longer than any in the text. */
function fenced(text) {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((it) => it[0].length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

function clean({ callId, name, arguments: wanted, asked, result, isError }) {
  return { callId, name, arguments: wanted, asked, result, isError: isError || undefined };
}
