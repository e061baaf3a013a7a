// The list of a user's conversations, kept up to date: after what happens here,
// in other tabs of this browser, and now and then for what happens elsewhere.

import { confirmed } from "../dialog.js";
import { announce, byId, element } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";
import { Drawer } from "./drawer.js";
import { EntryView, named } from "./entry.js";
import { found } from "./search.js";

/** How often the list is asked for while one looks at it, in milliseconds. */
const OFTEN = 15_000;
/** After how long a change that was heard of is looked up. */
const SOON = 250;
/** The most conversations that a search looks through. */
const MOST = 1_000;

export class Sidebar {
  #api;
  #on;
  #list = byId("sessions");
  #more = byId("more");
  #search = byId("search");
  #note = byId("unlisted");
  #drawer = new Drawer();
  #tabs = new BroadcastChannel("weir");
  #views = new Map();
  #sessions = [];
  #cursor = null;
  #shown = null;
  /** Which question for the newest ones is the last. */
  #round = 0;
  /** The older ones that are on their way. */
  #paging = null;
  #timer = 0;

  /** `on.open(session)` shows one, a new one for `null`; `on.renamed(title)` is
   *  about the one that is shown. */
  constructor(api, on) {
    this.#api = api;
    this.#on = on;
    this.#label();
    this.#search.addEventListener("input", () => this.#searched());
    this.#more.addEventListener("click", () => this.#page());
    byId("new").addEventListener("click", () => this.#open(null));
    this.#tabs.addEventListener("message", () => this.refresh());
    document.addEventListener("visibilitychange", () => this.refresh());
    setInterval(() => this.refresh(), OFTEN);
  }

  /** Another conversation is shown. */
  show(session) {
    this.#shown = session;
    this.#draw();
    this.refresh();
  }

  /** Something happened that the list tells; other tabs hear of it. */
  happened() {
    this.#tabs.postMessage("changed");
    this.refresh();
  }

  /** What the list says of a conversation. */
  find(session) {
    return this.#sessions.find((it) => it.sessionId === session);
  }

  /** Looks soon, once however often it is asked. */
  refresh() {
    if (document.hidden || this.#api.isWaiting) return;
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#load();
    }, SOON);
  }

  #label() {
    this.#list.setAttribute("aria-label", words.conversations);
    this.#search.placeholder = words.search;
    this.#search.setAttribute("aria-label", words.search);
    this.#more.textContent = words.more;
    byId("new").replaceChildren(icon("plus"), words.fresh);
  }

  #open(session) {
    this.#drawer.close();
    this.#on.open(session);
  }

  /** The first page anew, and the older ones as they were. */
  async #load() {
    const round = ++this.#round;
    const page = await this.#api.sessions().catch((error) => this.#unlisted(error));
    if (!page || round !== this.#round) return;
    this.#note.hidden = true;
    const fresh = new Set(page.sessions.map((it) => it.sessionId));
    const oldest = page.sessions.at(-1)?.updatedAt ?? "";
    const older = this.#sessions.filter((it) => page.cursor && !fresh.has(it.sessionId) && it.updatedAt <= oldest);
    this.#sessions = [...page.sessions, ...older];
    if (!older.length) this.#cursor = page.cursor ?? null;
    this.#draw();
  }

  /** The next older ones, which a search and a person ask for alike; `false`
   *  when there are none, or they did not come. */
  #page() {
    this.#paging ??= this.#older().finally(() => { this.#paging = null; });
    return this.#paging;
  }

  async #older() {
    const page = this.#cursor && await this.#api.sessions(this.#cursor, 100).catch((error) => this.#unlisted(error));
    if (!page) return false;
    const known = new Set(this.#sessions.map((it) => it.sessionId));
    this.#sessions.push(...page.sessions.filter((it) => !known.has(it.sessionId)));
    this.#cursor = page.cursor ?? null;
    this.#draw();
    return true;
  }

  #unlisted(error) {
    return this.#trouble(error, words.unlisted);
  }

  #trouble(error, say) {
    // The connection's own line tells when the server is away.
    if (!error.status) return null;
    this.#note.textContent = say(error.message);
    this.#note.hidden = false;
    return null;
  }

  async #searched() {
    this.#draw();
    const wanted = this.#search.value;
    while (this.#search.value.trim() && this.#cursor && this.#sessions.length < MOST) {
      if (!(await this.#page())) break;
    }
    // Who types on hears of what is looked for in the end.
    if (wanted.trim() && wanted === this.#search.value) announce(words.found(this.#list.children.length));
  }

  #draw() {
    const wanted = this.#search.value;
    const sessions = found(this.#sessions, wanted);
    const ids = new Set(sessions.map((it) => it.sessionId));
    for (const [id, view] of this.#views) {
      if (ids.has(id)) continue;
      view.node.remove();
      this.#views.delete(id);
    }
    sessions.forEach((session, at) => {
      const view = this.#view(session.sessionId);
      view.draw(session, session.sessionId === this.#shown);
      if (this.#list.children[at] !== view.node) this.#list.insertBefore(view.node, this.#list.children[at] ?? null);
    });
    this.#more.hidden = !this.#cursor || Boolean(wanted.trim());
    byId("none").textContent = wanted.trim() ? words.nothingFound : words.none;
    byId("none").hidden = sessions.length > 0;
  }

  #view(id) {
    const known = this.#views.get(id);
    if (known) return known;
    const view = new EntryView({
      open: () => this.#open(id),
      rename: (title) => this.#rename(id, title),
      erase: () => this.#erase(id),
    });
    this.#views.set(id, view);
    return view;
  }

  async #rename(id, title) {
    const entry = this.find(id);
    const before = entry?.title;
    if (entry) entry.title = title;
    this.#draw();
    try {
      await this.#api.rename(id, title);
      if (id === this.#shown) this.#on.renamed(title);
    } catch (error) {
      if (entry) entry.title = before;
      this.#draw();
      this.#trouble(error, words.unrenamed);
      return;
    }
    this.happened();
  }

  async #erase(id) {
    const title = named(this.find(id) ?? {});
    if (!(await confirmed(words.eraseTitle, words.eraseText(title), words.erase))) return;
    try {
      await this.#api.erase(id);
      this.#sessions = this.#sessions.filter((it) => it.sessionId !== id);
      announce(words.erased);
      if (id === this.#shown) this.#on.open(null);
    } catch (error) {
      this.#trouble(error, words.unerased);
      return;
    }
    this.#draw();
    this.happened();
  }
}
