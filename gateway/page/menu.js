// A button that opens a short list of things to do: arrow keys walk, Escape and
// a click elsewhere close it, and the focus goes back to the button.

import { element } from "./dom.js";

/**
 * Makes `button` open a menu; returns the node to put on the page. An item is
 * `{label, icon?, act, danger?}`.
 */
export function menu(button, items) {
  const list = element("div", { class: "menu", role: "menu", hidden: true });
  const holder = element("div", { class: "holder" }, button, list);
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  const isOpen = () => !list.hidden;
  const outside = (event) => !holder.contains(event.target) && close();
  const close = () => {
    list.hidden = true;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
  };
  const open = () => {
    list.replaceChildren(...items().map((it) => entry(it, () => {
      close();
      button.focus();
      it.act();
    })));
    list.hidden = false;
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
    list.firstElementChild.focus();
  };
  button.addEventListener("click", () => (isOpen() ? close() : open()));
  holder.addEventListener("keydown", (event) => {
    if (!isOpen()) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
      button.focus();
    } else if (event.key === "Tab") close();
    else walk(event, [...list.children]);
  });
  return holder;
}

function entry({ label, icon, danger }, act) {
  return element("button", { type: "button", role: "menuitem", tabindex: "-1", class: danger && "danger", click: act }, icon, label);
}

/** Moves the focus as the arrow keys say. */
function walk(event, entries) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const end = { Home: 0, End: -1 }[event.key];
  if (step === undefined && end === undefined) return;
  event.preventDefault();
  const at = entries.indexOf(document.activeElement);
  const next = step === undefined ? entries.at(end) : entries[(at + step + entries.length) % entries.length];
  next.focus();
}
