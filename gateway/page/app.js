// What the page is made of, and who tells whom.

import { address, addressed } from "./address.js";
import { Chat, isEnding } from "./chat.js";
import { Composer } from "./composer.js";
import { tell, tellLost, watch } from "./connection.js";
import { announce, byId, element, iconButton } from "./dom.js";
import { fileName, json, markdown, save } from "./export.js";
import { icon } from "./icons.js";
import { KeyEntry } from "./identity-entry.js";
import { Identity } from "./identity.js";
import { openMemory } from "./memory.js";
import { mayLeave } from "./leaving.js";
import { menu } from "./menu.js";
import { Api } from "./net/api.js";
import { Scroll } from "./scroll.js";
import { Sidebar } from "./sidebar/sidebar.js";
import { Settings } from "./settings.js";
import { randomId, tab } from "./store.js";
import { ConversationView } from "./view/conversation.js";
import { language, words } from "./words.js";

/** How often one asks how many questions wait, in milliseconds. */
const QUEUE = 3_000;
/** After how long one is told that a conversation is still on its way, likewise. */
const SLOW = 400;

const identity = new Identity({ wanted, settled, changed: left });
const entry = new KeyEntry(identity);
const api = new Api(identity);
const settings = new Settings(identity, api);
const scroll = new Scroll();
const chat = new Chat(api, identity, { changed, heard, cleared, loaded, deleted, state: tell, lost: tellLost });
const view = new ConversationView({
  retry: (turn) => chat.retry(turn, chosen()),
  forget: (turn) => chat.forget(turn),
  stop: (turn) => chat.stop(turn),
  replace: (turn, input) => ask(input, { replaces: turn.id }),
  again: (turn) => again(turn),
  origin: (turn) => origin(turn),
  decide: (...all) => chat.decide(...all),
});
const sidebar = new Sidebar(api, { open, renamed: titled });
const composer = new Composer({ ask: (input) => ask(input), stop: () => chat.stop(chat.conversation.active) });

/** What is sent with every question, as the settings say. */
const chosen = () => settings.chosen();

/** Whatever is sent from here on waits for a key. */
function wanted(why) {
  entry.open(why);
  tell("waiting");
}

/** A key was taken: what waited for it goes on by itself. */
function settled() {
  entry.close();
  sidebar.refresh();
}

/** Somebody else is here: nothing of this page is seen any more, and a new one
 *  takes its place, so that nothing stays in memory either. */
function left() {
  chat.close();
  document.body.hidden = true;
  location.replace(location.pathname);
}

async function ask(input, more = {}) {
  // What stands while an answer is being written cannot be replaced.
  if (more.replaces && chat.conversation.active) return;
  if (!(await mayLeave(chat.conversation, input, more, back))) return;
  notice("");
  chat.ask(input, { ...chosen(), ...more });
  remember(chat.session);
  scroll.follow();
}

/** A question that was not asked is where one writes. */
function back(input) {
  const name = `${identity.person}.${chat.session}`;
  tab.set(`draft.${name}`, input);
  composer.open(name);
}

/** The turn whose question an answer is to; those that went on after a decision
 *  have none of their own. */
function origin(turn) {
  let first = turn;
  while (first?.resumes) first = chat.conversation.find(first.resumes);
  return first?.input ? first : null;
}

function again(turn) {
  const first = origin(turn);
  if (first) ask(first.input, { replaces: first.id });
}

// Which conversation is shown.

/** Shows a session; a new one without an id. */
function open(session) {
  const id = session ?? fresh();
  if (session && addressed() !== session) history.pushState(null, "", address(session));
  if (!session) history.pushState(null, "", location.pathname);
  shown(id);
  composer.focus();
}

function shown(session) {
  chat.open(session);
  composer.open(`${identity.person}.${session}`);
  sidebar.show(session);
}

function titled(title) {
  byId("title").textContent = title;
  document.title = title ? `${title} · Weir` : "Weir";
}

/** A new conversation has an address once something was asked in it. */
function remember(session) {
  if (addressed() !== session) history.replaceState(null, "", address(session));
  if (tab.get(unbegun()) === session) tab.set(unbegun(), null);
}

const unbegun = () => `new.${identity.person}`;

/** The id of the conversation that is not begun yet: the same after a reload,
 *  with what was written in it. */
function fresh() {
  const id = tab.get(unbegun()) ?? randomId();
  tab.set(unbegun(), id);
  return id;
}

function arrived() {
  const session = addressed();
  if (session === chat.session && session) return;
  shown(session || fresh());
  if (session === null) notice(words.badAddress);
}

// What is heard.

let dirty = new Set();
let everything = false;
let frame = 0;

function changed(turn) {
  if (turn) dirty.add(turn);
  else everything = true;
  frame ||= requestAnimationFrame(draw);
}

let depth = 0;
function draw() {
  frame = 0;
  const { conversation } = chat;
  view.draw(conversation, everything ? null : dirty, depth);
  dirty = new Set();
  everything = false;
  composer.draw(conversation.active);
  const title = sidebar.find(chat.session)?.title ?? chat.title ?? "";
  if (byId("title").textContent !== title) titled(title);
  byId("welcome").hidden = !conversation.isEmpty || !chat.isLoaded;
  scroll.drawn();
  if (ended) announce(view.spoken(ended));
  ended = null;
}

/** The turn whose answer is to be heard once it is drawn. */
let ended = null;

function heard(kind, turn) {
  if (kind === "started") announce(words.answering);
  // Calls that wait for a human announce themselves.
  if (isEnding(kind) && kind !== "interrupted") ended = turn;
  if (kind === "started" || isEnding(kind)) {
    changed(null);
    sidebar.happened();
  }
}

let slow;
function cleared() {
  view.clear();
  notice("");
  clearTimeout(slow);
  slow = setTimeout(() => byId("notice").hidden && notice(words.loading), SLOW);
  changed(null);
  scroll.follow();
}

function loaded() {
  clearTimeout(slow);
  if (byId("notice").textContent === words.loading) notice("");
}

function deleted() {
  clearTimeout(slow);
  notice(words.deleted);
  sidebar.happened();
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

/** While a question waits, how many wait on the whole server. */
async function queue() {
  const waits = chat.conversation.turns.some((it) => it.status === "queued");
  if (!waits || document.hidden) return;
  depth = await api.status().then((it) => it.queue.depth, () => 0);
  changed(null);
}

function label() {
  document.documentElement.lang = language;
  byId("skip").textContent = words.skip;
  byId("welcome").querySelector("h2").textContent = words.title;
  byId("welcome").querySelector("p").textContent = words.lead;
  byId("conversation").setAttribute("aria-label", words.conversation);
  const examples = words.examples.map((text) => element("li", {}, element("button", { type: "button", click: () => ask(text) }, text)));
  byId("welcome").querySelector("ul").replaceChildren(...examples);
  byId("latest").replaceChildren(icon("down"), words.latest);
}

/** The buttons at the top. */
function tools() {
  const turns = () => chat.conversation.turns;
  const title = () => byId("title").textContent || words.conversation;
  const exported = menu(iconButton(icon("export"), words.export, () => {}), () => [
    { label: words.exportMarkdown, act: () => save(fileName(title(), "md"), "text/markdown", markdown(title(), turns())) },
    { label: words.exportJson, act: () => save(fileName(title(), "json"), "application/json", json(chat.session, title(), turns())) },
  ]);
  byId("tools").append(exported, iconButton(icon("memory"), words.memory, () => openMemory(api)), settings.button());
}

label();
tools();
// Nothing is loaded before it is known for whom.
await identity.begin();
settings.begin();
watch(chat);
addEventListener("hashchange", arrived);
addEventListener("popstate", arrived);
setInterval(queue, QUEUE);
arrived();
composer.focus();
