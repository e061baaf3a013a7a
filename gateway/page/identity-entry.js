// Where one shows a key: a dialog that comes when the server wants one, and a
// bar in its place for as long as one reads on without. The key leaves the page's
// nodes as soon as the server has taken it.

import { element } from "./dom.js";
import { icon } from "./icons.js";
import { words } from "./words.js";

/** The dialog, and the bar in its place. */
export class KeyEntry {
  #identity;
  #dialog = null;
  #bar = null;
  #busy = false;

  constructor(identity) {
    this.#identity = identity;
  }

  /** Asks for a key; `why` is the name of a text. */
  open(why) {
    if (this.#dialog) return;
    this.#bar?.remove();
    this.#bar = null;
    this.#busy = false;
    this.#build(why);
    document.body.append(this.#dialog);
    this.#dialog.showModal();
  }

  /** A key was taken, here or in another tab. */
  close() {
    this.#bar?.remove();
    this.#bar = null;
    this.#take();
  }

  /** Takes the dialog away, with what was typed. */
  #take() {
    const dialog = this.#dialog;
    this.#dialog = null;
    if (!dialog) return;
    // First closed, so that the focus goes back to where it was.
    if (dialog.open) dialog.close();
    dialog.querySelector("#key").value = "";
    dialog.remove();
  }

  #build(why) {
    const later = () => this.#later(why);
    const buttons = element("div", { class: "buttons" },
      element("button", { type: "button", class: "quiet", click: later }, words.keyLater),
      element("button", { type: "submit", class: "strong" }, words.keyEnter));
    const form = element("form", { novalidate: true, submit: (event) => this.#submit(event) },
      element("h2", { id: "key-title" }, words.keyTitle),
      element("p", { id: "key-why" }, words[why]),
      ...field(),
      element("p", { id: "key-fault", class: "fault", role: "alert" }),
      ...choice(),
      buttons);
    const attributes = { id: "key-entry", "aria-labelledby": "key-title", "aria-describedby": "key-why" };
    // The browser has closed it when it says so: Escape is pressed, or a phone's way back.
    this.#dialog = element("dialog", { ...attributes, close: (event) => event.target === this.#dialog && later() }, form);
  }

  /** One reads on without a key; what was asked waits for it. */
  #later(why) {
    if (!this.#dialog) return;
    this.#take();
    const again = element("button", { type: "button", class: "strong", click: () => this.open(why) }, words.keyTitle);
    this.#bar = element("div", { id: "key-wanted", role: "region", "aria-label": words.keyField },
      icon("key"), element("p", {}, words.keyWaits), again);
    document.querySelector("#room > header").after(this.#bar);
  }

  async #submit(event) {
    event.preventDefault();
    if (this.#busy) return;
    const dialog = this.#dialog;
    const input = dialog.querySelector("#key");
    this.#checking(dialog, true);
    const fault = await this.#identity.offer(input.value, dialog.querySelector("#key-keep").checked);
    this.#checking(dialog, false);
    if (!fault) return this.close();
    dialog.querySelector("#key-fault").textContent = words[fault];
    input.setAttribute("aria-invalid", "true");
    input.focus();
    return input.select();
  }

  #checking(dialog, busy) {
    this.#busy = busy;
    const button = dialog.querySelector(".strong");
    button.textContent = busy ? words.keyChecking : words.keyEnter;
    button.setAttribute("aria-disabled", busy);
    if (busy) dialog.querySelector("#key-fault").textContent = "";
  }
}

/** No manager of passwords is asked to fill it in: there is no account here, and
 *  what is kept is the choice below. */
function field() {
  const attributes = {
    id: "key", name: "key", type: "password", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    required: true, autofocus: true, "aria-describedby": "key-fault key-hint",
  };
  return [
    element("label", { for: "key" }, words.keyField),
    element("input", attributes),
    element("p", { id: "key-hint", class: "hint" }, words.keyHint),
  ];
}

function choice() {
  return [
    element("label", { class: "choice" },
      element("input", { id: "key-keep", type: "checkbox", "aria-describedby": "key-kept" }), words.keyKeep),
    element("p", { id: "key-kept", class: "hint" }, words.keyKeepHint),
  ];
}
