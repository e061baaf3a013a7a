// Follows what is said for as long as the reader looks at its end.

import { byId } from "./dom.js";

const NEAR = 80;

export class Scroll {
  #latest = byId("latest");
  #root = document.documentElement;
  #following = true;

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
  }

  /** Something was drawn. */
  drawn() {
    if (this.#following) this.follow();
    else this.#latest.hidden = this.#isNear;
  }

  get #isNear() {
    return this.#root.scrollHeight - scrollY - innerHeight < NEAR;
  }

  #scrolled() {
    this.#following = this.#isNear;
    this.#latest.hidden = this.#following;
  }
}
