// Where one writes. Enter sends, unless a word is being composed; what was
// written and not sent is kept for each conversation.

import { MOST_BYTES } from "./chat.js";
import { byId } from "./dom.js";
import { icon } from "./icons.js";
import { tab } from "./store.js";
import { words } from "./words.js";

export class Composer {
  #form = byId("composer");
  #text = byId("question");
  #send = byId("send");
  #stop = byId("stop");
  #hint = byId("hint");
  #draft = null;
  #active = null;

  /** `on.ask(input)` and `on.stop()`. */
  constructor(on) {
    this.#send.append(icon("send"));
    this.#stop.append(icon("stop"));
    this.#text.placeholder = words.ask;
    this.#text.setAttribute("aria-label", words.ask);
    this.#stop.setAttribute("aria-label", words.stop);
    this.#stop.title = words.stop;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(on);
    });
    this.#text.addEventListener("keydown", (event) => this.#typed(event));
    this.#text.addEventListener("input", () => this.#changed());
    this.#stop.addEventListener("click", () => on.stop());
  }

  focus() {
    this.#text.focus();
  }

  /** Takes up what was written in a conversation; `name` says whose it is. */
  open(name) {
    // What was written while one waited to be known stays.
    const written = this.#draft ? "" : this.#text.value;
    this.#draft = `draft.${name}`;
    this.#text.value = written || (tab.get(this.#draft) ?? "");
    this.#changed();
  }

  /** `active`: the turn that can be stopped. */
  draw(active) {
    this.#active = active;
    this.#stop.hidden = !active || active.isLocal;
    this.#stop.disabled = Boolean(active?.stopping);
    const label = active ? words.enqueue : words.send;
    this.#send.setAttribute("aria-label", label);
    this.#send.title = label;
    this.#enable();
  }

  #submit(on) {
    const input = this.#text.value;
    if (!this.#draft || !input.trim() || this.#bytes() > MOST_BYTES) return;
    this.#text.value = "";
    this.#changed();
    on.ask(input);
    this.#text.focus();
  }

  #typed(event) {
    // While a word is being composed, Enter belongs to the input method.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  #changed() {
    if (this.#draft) tab.set(this.#draft, this.#text.value || null);
    this.#grow();
    this.#enable();
  }

  #enable() {
    const bytes = this.#bytes();
    const empty = !this.#text.value.trim();
    this.#send.disabled = empty || bytes > MOST_BYTES || !this.#draft;
    this.#send.hidden = Boolean(this.#active && !this.#stop.hidden && empty);
    this.#hint.textContent = bytes > MOST_BYTES ? words.tooLong(bytes, MOST_BYTES) : words.hint;
    this.#hint.classList.toggle("trouble", bytes > MOST_BYTES);
  }

  #bytes() {
    const text = this.#text.value;
    return text.length * 3 <= MOST_BYTES ? text.length : new TextEncoder().encode(text).length;
  }

  /** For browsers whose styles cannot do it. */
  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}
