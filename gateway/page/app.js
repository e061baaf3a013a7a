// The chat page: who we are, what is asked, what is shown.

import { Feed, Refused, ask, cancel, state } from "./api.js";
import { Conversation } from "./conversation.js";
import { element } from "./markup.js";
import { TurnView } from "./view.js";
import { chinese, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const page = {
  connection: $("connection"), welcome: $("welcome"), notice: $("notice"), list: $("conversation"),
  form: $("composer"), question: $("question"), send: $("send"), stop: $("stop"), latest: $("latest"),
  fresh: $("new"), spoken: $("spoken"),
};

const store = (() => {
  try {
    localStorage.setItem("weir.works", "yes");
    return localStorage;
  } catch {
    // Forbidden or full: the conversation lasts as long as the page.
    const map = new Map();
    return { getItem: (it) => map.get(it) ?? null, setItem: (it, to) => map.set(it, to), removeItem: (it) => map.delete(it) };
  }
})();
const kept = (key) => store.getItem(`weir.${key}`);
const keep = (key, value) =>
  value === null ? store.removeItem(`weir.${key}`) : store.setItem(`weir.${key}`, value);

/** A random id; `crypto.randomUUID` is missing on plain HTTP addresses. */
function id() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((it) => it.toString(16).padStart(2, "0")).join("");
}

function identity(key) {
  if (!kept(key)) keep(key, id());
  return kept(key);
}

let who;
let feed;
let conversation;
let views;
let replayed;
let dirty = new Set();

function open() {
  feed?.close();
  who = { user: identity("user"), session: identity("session") };
  conversation = new Conversation();
  views = new Map();
  dirty = new Set();
  replayed = false;
  page.list.replaceChildren();
  page.notice.hidden = true;
  feed = new Feed(who, { frame: hear, state: connection, lost });
  resume(who);
  draw();
}

/** What an earlier visit left: a question that may not have arrived, or one
 *  that waits in the queue. */
async function resume(mine) {
  const unsent = JSON.parse(kept("unsent") ?? "null");
  if (unsent?.session === mine.session) return submit(unsent.input, unsent.key);
  try {
    const now = await state(mine);
    if (mine === who && now.status === "queued" && !conversation.find(now.turnId)) {
      touch(conversation.add(now.turnId, ""));
    }
  } catch {
    // The feed says when the server cannot be reached.
  }
}

function hear(frame) {
  const data = JSON.parse(frame.data);
  if (frame.event === "gap") return gap(data.gap);
  if (frame.event === "deleted") return erased();
  const turn = conversation.apply(frame.event, data);
  if (frame.event === "started") speak(words.answering);
  if (!turn.active) {
    turn.stopping = false;
    speak(turn.text || turn.detail?.message || "");
  }
  touch(turn);
}

function gap({ reason, asked }) {
  if (asked !== "start") return open();
  page.notice.textContent = reason === "expired" ? words.expired : words.reset;
  page.notice.hidden = false;
}

/** The conversation was deleted, here or elsewhere: what follows is a new one. */
function erased() {
  page.notice.textContent = words.deleted;
  page.notice.hidden = conversation.turns.length === 0;
  conversation = new Conversation();
  views = new Map();
  dirty = new Set();
  page.list.replaceChildren();
  draw();
}

const STATES = {
  connecting: () => words.connecting,
  connected: () => "",
  reconnecting: (seconds) => words.reconnecting(seconds),
  retrying: () => words.retrying,
  offline: () => words.offline,
};

let settle;
function connection(name, seconds) {
  clearTimeout(settle);
  const show = () => {
    page.connection.textContent = STATES[name](seconds);
    page.connection.classList.toggle("trouble", !["connecting", "connected"].includes(name));
  };
  // A connection that is made at once is not worth a word.
  if (name === "connecting") settle = setTimeout(show, 600);
  else show();
  if (name === "connected") {
    settle = setTimeout(() => { replayed = true; draw(); }, 150);
  }
}

function lost(refused) {
  page.connection.textContent = words.lost(refused.message);
  page.connection.classList.add("trouble");
}

async function submit(input, key = id()) {
  const mine = who;
  keep("unsent", JSON.stringify({ session: mine.session, input, key }));
  const turn = conversation.add(`local-${key}`, input, "sending");
  turn.key = key;
  touch(turn);
  follow();
  try {
    const { turnId } = await ask(mine, input, key);
    if (kept("unsent")?.includes(key)) keep("unsent", null);
    accepted(turn, turnId);
  } catch (error) {
    refused(turn, error, key);
  }
  touch(turn);
}

/** Whether no turn of the server's has taken this one's place yet. */
const local = (turn) => turn.id.startsWith("local-");

function accepted(turn, turnId) {
  if (turn.id === turnId) return;
  const heard = conversation.find(turnId);
  if (heard && local(turn)) {
    forget(turn);
  } else if (!heard && local(turn)) {
    turn.id = turnId;
    turn.status = "waiting";
  } else if (!heard) {
    // An earlier turn with the same words took its place.
    touch(conversation.add(turnId, turn.input));
  }
}

function forget(turn) {
  views.get(turn)?.node.remove();
  conversation.remove(turn);
}

function refused(sent, error, key) {
  const turn = local(sent) ? sent : conversation.add(`local-${key}`, sent.input);
  turn.key = key;
  touch(turn);
  const status = error instanceof Refused ? error.status : 0;
  const said = { 0: words.unreachable, 503: words.unreachable, 409: words.busy, 429: words.full };
  turn.status = "unsent";
  turn.detail = { message: said[status] ?? words.refused(error.message) };
  // What is known not to have arrived is not sent again by a reload.
  if (status && status !== 503) keep("unsent", null);
}

/** Asks again: the same question when it may have arrived, else a new one. */
function retry(turn) {
  if (conversation.active) return;
  if (turn.status === "unsent") {
    forget(turn);
    submit(turn.input, turn.key);
  } else {
    submit(turn.input);
  }
}

async function stop() {
  const turn = conversation.active;
  if (!turn || turn.status === "sending") return;
  turn.stopping = true;
  touch(turn);
  try {
    await cancel(who, turn.id);
  } catch (error) {
    turn.stopping = false;
    // 409: it has ended, and the feed says how.
    if (error.status !== 409) page.connection.textContent = words.unstoppable;
    touch(turn);
  }
}

function touch(turn) {
  if (!dirty.size) requestAnimationFrame(draw);
  dirty.add(turn);
}

function draw() {
  const below = atEnd();
  for (const turn of dirty) {
    if (!conversation.turns.includes(turn)) continue;
    let view = views.get(turn);
    if (!view) {
      view = new TurnView(retry);
      views.set(turn, view);
      page.list.append(view.node);
    }
    view.draw(turn);
  }
  dirty = new Set();
  const active = conversation.active;
  page.stop.hidden = !active || active.status === "sending";
  page.stop.disabled = Boolean(active?.stopping);
  page.send.hidden = !page.stop.hidden;
  page.send.disabled = Boolean(active) || !page.question.value.trim();
  page.welcome.hidden = conversation.turns.length > 0 || !replayed;
  if (below) follow();
  page.latest.hidden = atEnd();
}

let following = true;
function atEnd() {
  return following;
}

function follow() {
  following = true;
  scrollTo({ top: document.documentElement.scrollHeight });
}

function scrolled() {
  const root = document.documentElement;
  following = root.scrollHeight - scrollY - innerHeight < 80;
  page.latest.hidden = following;
}

function speak(text) {
  if (replayed) page.spoken.textContent = text;
}

function send(event) {
  event.preventDefault();
  const input = page.question.value;
  if (!input.trim() || conversation.active) return;
  page.question.value = "";
  grow();
  submit(input);
  page.question.focus();
}

/** For browsers whose styles cannot do it. */
function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  page.question.style.height = "auto";
  page.question.style.height = `${page.question.scrollHeight}px`;
}

function typed(event) {
  // While a word is being composed, Enter belongs to the input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  page.form.requestSubmit();
}

function label() {
  document.documentElement.lang = chinese ? "zh" : "en";
  page.welcome.querySelector("h1").textContent = words.title;
  page.welcome.querySelector("p").textContent = words.lead;
  const examples = words.examples.map((text) => {
    const button = element("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      if (!conversation.active) submit(text);
      page.question.focus();
    });
    return element("li", {}, button);
  });
  page.welcome.querySelector("ul").replaceChildren(...examples);
  page.question.placeholder = words.ask;
  page.question.setAttribute("aria-label", words.ask);
  page.send.setAttribute("aria-label", words.send);
  page.stop.setAttribute("aria-label", words.stop);
  page.stop.title = words.stop;
  page.fresh.textContent = words.fresh;
  page.latest.textContent = words.latest;
  $("hint").textContent = words.hint;
}

label();
page.form.addEventListener("submit", send);
page.question.addEventListener("keydown", typed);
page.question.addEventListener("input", () => {
  grow();
  draw();
});
page.stop.addEventListener("click", stop);
page.latest.addEventListener("click", follow);
page.fresh.addEventListener("click", () => {
  keep("session", null);
  keep("unsent", null);
  open();
  page.question.focus();
});
addEventListener("scroll", scrolled, { passive: true });
addEventListener("resize", () => (following ? follow() : scrolled()));
addEventListener("online", () => feed.hurry());
addEventListener("offline", () => feed.doubt());
let asleep;
document.addEventListener("visibilitychange", () => {
  clearTimeout(asleep);
  if (document.hidden) asleep = setTimeout(() => conversation.active || feed.rest(), 60_000);
  else feed.hurry();
});
open();
