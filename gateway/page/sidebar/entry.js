// One conversation in the list: its title, how it stands, and what can be done
// with it.

import { element, iconButton, isComposing } from "../dom.js";
import { icon } from "../icons.js";
import { prose } from "../markdown/characters.js";
import { menu } from "../menu.js";
import { moment, words } from "../words.js";

/** The longest title that the server takes, in bytes. */
const MOST = 200;

/** What a conversation is called, as it is shown. */
export const named = ({ title, lastQuestion }) => prose(title || lastQuestion || words.untitled);

export class EntryView {
  #can;
  #link;
  #title = element("span", { class: "name" });
  #when = element("span", { class: "when" });
  #sign = element("span", { class: "sign" });
  #session = null;
  #editor = null;

  /** `can`: `open()`, `rename(title)`, `erase()`. */
  constructor(can) {
    this.#can = can;
    this.#link = element("a", { class: "entry", click: (event) => this.#clicked(event) }, this.#sign, this.#title, this.#when);
    const button = iconButton(icon("more"), words.actions, () => {});
    this.button = button;
    this.node = element("li", {}, this.#link, menu(button, () => [
      { label: words.rename, icon: icon("edit"), act: () => this.#edit() },
      { label: words.erase, icon: icon("trash"), danger: true, act: () => can.erase() },
    ]));
  }

  draw(session, isShown) {
    this.#session = session;
    const title = named(session);
    if (this.#title.textContent !== title) this.#title.textContent = title;
    this.#link.title = title;
    this.#link.href = `#/${encodeURIComponent(session.sessionId)}`;
    this.#when.textContent = session.updatedAt ? moment(session.updatedAt) : "";
    if (isShown) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
    this.#stand(session.status);
    this.button.setAttribute("aria-label", `${words.actions}: ${title}`);
  }

  /** A sign for what is worth one, which a screen reader hears as a word. */
  #stand(status) {
    const word = { running: words.runs, queued: words.waits, interrupted: words.asksYou }[status] ?? "";
    this.#sign.className = word ? `sign ${status}` : "sign";
    this.#sign.title = word;
    this.#sign.replaceChildren(...(word ? [element("span", { class: "unseen" }, `${word}: `)] : []));
  }

  #clicked(event) {
    // A new tab is the browser's to open.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.#can.open();
  }

  #edit() {
    if (this.#editor) return;
    const field = element("input", { maxlength: String(MOST), "aria-label": words.newTitle, autocomplete: "off" });
    const before = this.#session.title || this.#session.lastQuestion || "";
    field.value = before;
    const leave = (title) => {
      // Leaving the page, a field loses the focus, and is left once more.
      const editor = this.#editor;
      this.#editor = null;
      editor?.remove();
      this.#link.hidden = false;
      this.button.focus();
      if (title && title !== before.trim()) this.#can.rename(title);
    };
    this.#editor = element("form", {
      class: "renaming",
      submit: (event) => {
        event.preventDefault();
        leave(field.value.trim());
      },
      keydown: (event) => {
        if (event.key !== "Escape") return;
        // A drawer around it stays open.
        event.stopPropagation();
        if (!isComposing(event)) leave("");
      },
      focusout: () => this.#editor && leave(field.value.trim()),
    }, field);
    this.#link.hidden = true;
    this.node.prepend(this.#editor);
    field.select();
    field.focus();
  }
}
