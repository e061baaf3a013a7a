// A passage beside the mark that names it: one at a time, above everything,
// closed by Escape, by a press outside, or by going on. On a phone it lies at
// the lower edge.

import { element, iconButton } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";
import { passage, told } from "./passage.js";

/** Pixels between the mark and the passage, and to the window's edge. */
const GAP = 8;
/** Narrower windows have it at their lower edge, in pixels. */
const NARROW = 560;

let current = null;

/** Opens the preview of a source at its mark; a second time closes it.
 *  `follow()` goes to the source's entry. */
export function preview(mark, citation, follow) {
  const again = current?.mark === mark;
  current?.close(true);
  if (!again) current = new Preview(mark, citation, follow);
}

class Preview {
  #node;
  #listening = new AbortController();

  constructor(mark, citation, follow) {
    this.mark = mark;
    this.#node = this.#make(citation, follow);
    (mark.closest("main") ?? document.body).append(this.#node);
    mark.setAttribute("aria-expanded", "true");
    this.#place();
    this.#listen();
    this.#node.focus({ preventScroll: true });
  }

  /** `back`: the focus goes to where it came from. */
  close(back) {
    this.#listening.abort();
    this.#node.remove();
    this.mark.setAttribute("aria-expanded", "false");
    if (current === this) current = null;
    if (back) this.#origin()?.focus({ preventScroll: true });
  }

  /** The mark, or the one that stands in its place in a text drawn anew. */
  #origin() {
    if (this.mark.isConnected) return this.mark;
    return document.querySelector(`.mark[data-source="${this.mark.dataset.source}"]`);
  }

  #make(citation, follow) {
    const { name, file, lines } = told(citation);
    const shut = iconButton(icon("close"), words.close, () => this.close(true));
    const go = () => {
      this.close(false);
      follow();
    };
    const below = element("button", { type: "button", class: "quiet follow", click: go }, words.toEntry);
    const node = element("div", { class: "preview", role: "dialog", tabindex: "-1", "aria-label": words.sourceMark(citation.number, name) },
      element("div", { class: "preview-head" }, element("span", { class: "number" }, String(citation.number)), element("b", {}, name), shut),
      element("p", { class: "where" }, [file, lines].filter(Boolean).join(" · ")),
      citation.quote ? passage(citation.quote) : element("p", {}, words.noPassage), below);
    return node;
  }

  #listen() {
    const { signal } = this.#listening;
    const inside = (event) => this.#node.contains(event.target) || this.mark.contains(event.target);
    this.#node.addEventListener("keydown", (event) => this.#pressed(event), { signal });
    document.addEventListener("pointerdown", (event) => inside(event) || this.close(false), { signal });
    document.addEventListener("focusin", (event) => inside(event) || this.close(false), { signal });
    addEventListener("resize", () => this.#place(), { signal });
    addEventListener("hashchange", () => this.close(false), { signal });
  }

  #pressed(event) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    this.close(true);
  }

  /** Below the mark, above it where there is more room. */
  #place() {
    const narrow = innerWidth <= NARROW;
    this.#node.classList.toggle("sheet", narrow);
    const { style } = this.#node;
    for (const side of ["left", "top"]) style.removeProperty(side);
    const main = this.#node.offsetParent;
    const mark = this.#origin()?.getBoundingClientRect();
    if (narrow || !main || !mark) return;
    const frame = main.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.#node;
    const left = Math.max(frame.left + GAP, Math.min(mark.left, frame.right - width - GAP));
    const below = mark.bottom + GAP + height <= innerHeight || mark.top < height + GAP;
    const top = below ? mark.bottom + GAP : mark.top - GAP - height;
    style.setProperty("left", `${left - frame.left}px`);
    style.setProperty("top", `${top - frame.top}px`);
  }
}
