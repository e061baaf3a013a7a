// Dialogs over the page: the browser's own, with its focus and its Escape.

import { element, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { randomId } from "./store.js";
import { words } from "./words.js";

/** Opens a dialog with a title; it is gone when it closes. */
export function openDialog(title, attributes, ...children) {
  const id = `title-${randomId()}`;
  const close = iconButton(icon("close"), words.close, () => dialog.close());
  const dialog = element("dialog", { "aria-labelledby": id, ...attributes },
    element("div", { class: "top" }, element("h2", { id }, title), close), ...children);
  dialog.addEventListener("close", () => dialog.remove());
  // A click beside it lands on the dialog itself.
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks whether something that cannot be taken back is to be done. */
export function confirmed(title, text, label) {
  return new Promise((resolve) => {
    let answer = false;
    const yes = element("button", { type: "button", class: "strong danger", click: () => {
      answer = true;
      dialog.close();
    } }, label);
    const no = element("button", { type: "button", class: "quiet", autofocus: true, click: () => dialog.close() }, words.cancel);
    const dialog = openDialog(title, { class: "ask", role: "alertdialog" }, element("p", {}, text), element("div", { class: "line" }, no, yes));
    dialog.addEventListener("close", () => resolve(answer));
  });
}
