// The line that says how the connection is, and what wakes a connection up.

import { byId } from "./dom.js";
import { words } from "./words.js";

const STATES = {
  connecting: () => words.connecting,
  connected: () => "",
  reconnecting: (seconds) => words.reconnecting(seconds),
  retrying: () => words.retrying,
  offline: () => words.offline,
  waiting: () => words.keyAwaited,
};
/** A connection that is made within this time is not worth a word; milliseconds. */
const QUICK = 600;
/** How long a tab that nobody sees keeps its connection when nothing is being
 *  answered, in milliseconds: a browser has six for a server. */
const HIDDEN = 5_000;

let settle;

/** Says how the connection is: a name of `STATES`, and for a pause its seconds. */
export function tell(name, seconds) {
  clearTimeout(settle);
  const show = () => say(STATES[name](seconds), !["connecting", "connected", "waiting"].includes(name));
  if (name === "connecting") settle = setTimeout(show, QUICK);
  else show();
}

/** Says that the conversation cannot be followed, and why. */
export function tellLost(refused) {
  clearTimeout(settle);
  say(words.lost(refused.message), true);
}

function say(text, trouble) {
  byId("connection").textContent = text;
  byId("connection").classList.toggle("trouble", trouble);
}

/** Keeps the chat's connection as the browser's own state allows. */
export function watch(chat) {
  let asleep;
  addEventListener("online", () => chat.feed?.hurry());
  addEventListener("offline", () => chat.feed?.doubt());
  document.addEventListener("visibilitychange", () => {
    clearInterval(asleep);
    if (document.hidden) asleep = setInterval(() => chat.conversation?.active || chat.feed?.rest(), HIDDEN);
    else chat.feed?.hurry();
  });
}
