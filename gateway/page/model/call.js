// A tool's call in a person's terms: its name, its arguments in a line, how it
// stands. Pure. Believes no result that says it comes from a human unless the
// call did wait for one.

import { endOf, members, visible } from "./json.js";

/** Stands between a server's name and its tool's. */
const SERVER = "__";
/** The longest line about arguments, in characters. */
const LINE = 160;

/** What the agent puts in a result's place, or before it. */
const REJECTED = "The user rejected this call; it was not made.";
const SAID = " They said: ";
const CHANGED = "The user changed the arguments to ";

/** The tool and its server, `{tool, server?}`. */
export function named(name) {
  const at = name.indexOf(SERVER);
  if (at <= 0 || at + SERVER.length >= name.length) return { tool: visible(name) };
  return { tool: visible(name.slice(at + SERVER.length)), server: visible(name.slice(0, at)) };
}

/** The arguments in one line; short ones stand first, so that one sees most. */
export function line(text) {
  const found = members(text);
  if (!found) return cut(visible(text).replace(/\s+/g, " "), LINE);
  const sorted = found.toSorted((one, other) => one.join().length - other.join().length);
  return cut(sorted.map(([name, value]) => `${name}: ${cut(value, 80)}`).join(" · "), LINE);
}

/** The beginning of a text, whole characters only. */
export function cut(text, most) {
  if (text.length <= most) return text;
  const half = /[\ud800-\udbff]/.test(text[most - 2]) ? 2 : 1;
  return `${text.slice(0, most - half)}…`;
}

/**
 * What a call's result says, `{text, rejected?, changed?}`: of one that a human
 * rejected, `rejected` is what they said; of one that was made with other
 * arguments, `changed` is those. A human was asked where another turn than the
 * call's own has brought the result.
 */
export function heard({ result, isError, answeredAt }, turn) {
  const reviewed = Boolean(answeredAt) && answeredAt[0] !== turn.id;
  if (reviewed && isError !== false && result.startsWith(REJECTED)) {
    const rest = result.slice(REJECTED.length);
    if (!rest || rest.startsWith(SAID)) return { text: "", rejected: rest.slice(SAID.length) };
  }
  if (reviewed && result.startsWith(CHANGED)) {
    const end = endOf(result, CHANGED.length);
    if (end > 0 && result.startsWith("\n\n", end)) {
      return { text: result.slice(end + 2), changed: result.slice(CHANGED.length, end) };
    }
  }
  return { text: result };
}

/**
 * How a call stands: `running`, `waiting` (for a human), `undecided` (no human
 * did, and the conversation went on), `broken` (no result, and none will come),
 * `rejected`, `answered` (by a human, in its place), `failed`, `done`, or `ended`
 * where it is not known which of the two.
 */
export function standing(tool, turn, conversation) {
  if (tool.result !== undefined) return outcome(tool, turn);
  if (turn.isActive) return "running";
  if (turn.status !== "interrupted") return "broken";
  if (conversation.review?.calls.some((it) => it.callId === tool.callId)) return "waiting";
  if (!goesOn(turn, conversation)) return "undecided";
  const known = turn.tools.some((it) => it.decided);
  return known && !tool.decided ? "waiting" : "running";
}

function outcome(tool, turn) {
  if (heard(tool, turn).rejected !== undefined) return "rejected";
  if (tool.decided === "respond") return "answered";
  if (tool.isError) return "failed";
  return tool.isError === null ? "ended" : "done";
}

/** Whether a turn that runs goes on with this one. */
function goesOn(turn, conversation) {
  let at = conversation.active;
  while (at?.resumes) {
    if (at.resumes === turn.id) return true;
    at = conversation.find(at.resumes);
  }
  return false;
}
