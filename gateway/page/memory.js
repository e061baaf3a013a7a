// What is remembered about the user across conversations: to see, to add to, to
// take away.

import { openDialog } from "./dialog.js";
import { announce, element, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { prose } from "./markdown/characters.js";
import { moment, words } from "./words.js";

/** After how long a pause in typing one searches, in milliseconds. */
const PAUSE = 250;

/** Opens the dialog. */
export function openMemory(api) {
  return new MemoryView(api).dialog;
}

class MemoryView {
  #api;
  #list = element("ul", { class: "memories" });
  #none = element("p", { class: "hint", hidden: true }, words.noMemories);
  #more = element("button", { type: "button", class: "quiet", hidden: true, click: () => this.#page() }, words.more);
  #trouble = element("p", { class: "trouble", role: "alert" });
  #search = element("input", { type: "search", placeholder: words.searchMemories, "aria-label": words.searchMemories });
  #text = element("input", { required: true, maxlength: "4000", placeholder: words.newMemory, "aria-label": words.newMemory, autocomplete: "off" });
  #cursor;
  #round = 0;

  constructor(api) {
    this.#api = api;
    let timer;
    this.#search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#load(), PAUSE);
    });
    const add = element("form", { class: "line", submit: (event) => this.#add(event) }, this.#text,
      element("button", { type: "submit", class: "strong" }, words.add));
    this.dialog = openDialog(words.memory, { class: "memory" },
      element("p", { class: "hint" }, words.memoryLead), add, this.#search, this.#trouble, this.#list, this.#none, this.#more);
    this.#load();
  }

  async #load() {
    this.#round += 1;
    this.#cursor = undefined;
    const query = this.#search.value.trim() || undefined;
    await this.#show(await this.#try(() => this.#api.memories({ query })), true);
  }

  async #page() {
    await this.#show(await this.#try(() => this.#api.memories({ cursor: this.#cursor })), false);
  }

  #show(page, anew) {
    if (!page) return;
    const items = page.memories.map((it) => this.#item(it));
    if (anew) this.#list.replaceChildren(...items);
    else this.#list.append(...items);
    this.#cursor = page.cursor;
    this.#more.hidden = !page.cursor;
    this.#none.hidden = this.#list.children.length > 0;
  }

  #item({ id, text, at, source }) {
    const who = source === "agent" ? words.byAgent : words.byYou;
    const item = element("li", {}, element("p", {}, prose(text)),
      element("span", { class: "when" }, at ? `${who} · ${moment(at)}` : who),
      iconButton(icon("trash"), `${words.forget}: ${prose(text.slice(0, 60))}`, () => this.#forget(id, item)));
    return item;
  }

  async #add(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if (!text || !(await this.#try(() => this.#api.remember(text)))) return;
    this.#text.value = "";
    this.#search.value = "";
    announce(words.remembered);
    await this.#load();
    this.#text.focus();
  }

  async #forget(id, item) {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    // One that is gone already is forgotten, too.
    const done = await this.#try(() => this.#api.forget(id).then(() => true, (error) => {
      if (error.status === 404) return true;
      throw error;
    }));
    if (!done) return;
    item.remove();
    this.#none.hidden = this.#list.children.length > 0;
    announce(words.forgotten);
    (next?.querySelector("button") ?? this.#text).focus();
  }

  /** The answer of a call; `null` when it failed, which is said, or when another
   *  one was made meanwhile. */
  async #try(call) {
    const round = this.#round;
    // Without a key nothing comes until there is one.
    this.#trouble.textContent = this.#api.isWaiting ? words.memoryKey : "";
    try {
      const answer = await call();
      this.#trouble.textContent = "";
      return round === this.#round ? answer : null;
    } catch (error) {
      this.#trouble.textContent = error.status ? words.unremembered(error.message) : words.away;
      return null;
    }
  }
}
