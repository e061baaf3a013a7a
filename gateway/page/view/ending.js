// How a turn stands when it does not speak, in plain words.

import { element } from "../dom.js";
import { words } from "../words.js";

const say = (text, late) => element("p", { class: late ? "state late" : "state" }, text);

/** What is said below a turn; `context.before` turns come first, `context.depth`
 *  questions are unfinished on the whole server, when that is known. */
export function ending(turn, context, can) {
  if (turn.isActive && turn.stopping) return [say(words.stopping)];
  if (turn.isActive && turn.unstoppable) return [say(words.unstoppable)];
  switch (turn.status) {
    case "sending":
      return [say(words.sending, true)];
    case "queued":
      return queued(turn, context, can);
    case "cancelled":
      return [say(words.stopped)];
    case "completed":
      return turn.detail?.finishReason === "length" ? [say(words.cut)] : [];
    case "failed":
      return [trouble(turn.detail?.message || turn.detail?.code || words.failed, turn, can)];
    case "unsent":
      return [trouble(refused(turn.refused), turn, can, words.unqueue)];
    default:
      return [];
  }
}

function queued(turn, { before, depth }, can) {
  const back = () => element("button", { type: "button", class: "quiet", click: () => can.stop(turn) }, words.unqueue);
  if (before > 0) return [element("div", { class: "state queue" }, element("span", {}, words.queued(before)), back())];
  return [say(depth > 1 ? words.waitingIn(depth) : words.waiting, true)];
}

function trouble(why, turn, can, leave) {
  // One that was to carry out decisions has no question of its own.
  const retry = turn.input ? element("button", { type: "button", click: () => can.retry(turn) }, words.retry) : null;
  const forget = leave && element("button", { type: "button", click: () => can.forget(turn) }, leave);
  return element("div", { class: "trouble-box", role: "alert" }, element("p", {}, why), retry, forget);
}

/** Why the server has not taken a question. */
function refused(error) {
  if (!error?.status || error.status === 503) return words.unreachable;
  if (error.code === "queue_full" || error.code === "too_many_turns") return words.full;
  if (error.status === 429) return words.slower(error.retryAfter || 1);
  if (error.code === "unknown_turn") return words.gone;
  return words.refused(error.message);
}
