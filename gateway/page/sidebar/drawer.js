// The list on a small screen: a drawer over the page.

import { byId, isComposing } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";

export class Drawer {
  #button = byId("menu");
  #side = byId("sidebar");
  #room = byId("room");

  constructor() {
    this.#button.append(icon("menu"));
    this.#button.title = words.conversations;
    this.#button.setAttribute("aria-label", words.conversations);
    this.#button.addEventListener("click", () => this.#open());
    byId("veil").addEventListener("click", () => this.close());
    this.#side.addEventListener("keydown", (event) => event.key === "Escape" && !isComposing(event) && this.close());
    matchMedia("(max-width: 50rem)").addEventListener("change", () => this.close());
  }

  /** Only what is in the drawer can be reached while it is open. */
  #open() {
    document.body.classList.add("drawn-out");
    this.#button.setAttribute("aria-expanded", "true");
    this.#room.inert = true;
    byId("search").focus();
  }

  close() {
    if (!document.body.classList.contains("drawn-out")) return;
    document.body.classList.remove("drawn-out");
    this.#button.setAttribute("aria-expanded", "false");
    this.#room.inert = false;
    this.#button.focus();
  }
}
