// Follows what is said for as long as the reader looks at its end.

import { byId } from "./dom.js";

/** From where on the end is not offered, and what counts as the end itself, as
 *  fractions of a pixel add up; in pixels. */
const NEAR = 80;
const END = 4;

export class Scroll {
  #latest = byId("latest");
  #root = document.documentElement;
  #following = true;
  #at = 0;

  constructor() {
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("resize", () => (this.#following ? this.follow() : this.#scrolled()));
    this.#latest.addEventListener("click", () => this.follow());
  }

  /** Goes to the end and stays there. */
  follow() {
    this.#following = true;
    this.#latest.hidden = true;
    scrollTo({ top: this.#root.scrollHeight });
    // Where one stands now: less is up, before the browser has told of this.
    this.#at = scrollY;
  }

  /** Something was drawn. */
  drawn() {
    this.#scrolled();
    if (this.#following) this.follow();
    else this.#latest.hidden = this.#isNear;
  }

  get #left() {
    return this.#root.scrollHeight - scrollY - innerHeight;
  }

  get #isNear() {
    return this.#left < NEAR;
  }

  /** Who goes up, however little, wants to read there. */
  #scrolled() {
    const isUp = scrollY < this.#at;
    this.#at = scrollY;
    if (this.#left < END) this.#following = true;
    else if (isUp) this.#following = false;
    this.#latest.hidden = this.#following || this.#isNear;
  }
}
