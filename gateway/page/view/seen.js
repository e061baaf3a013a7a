// Which calls a human has had before their eyes: from the first line to the
// buttons, and of long arguments the beginning. One alone counts at once.

/** Watches cards; `changed()` when one was seen that was not. */
export class Seen {
  #changed;
  #parts = new Map();
  #observer = new IntersectionObserver((entries) => this.#met(entries), { threshold: 1 });

  constructor(changed) {
    this.#changed = changed;
  }

  /** A card has `node` and `seen`. */
  watch(card) {
    if (card.seen) return;
    const parts = [card.node.querySelector("h3"), card.node.querySelector(".long-head"), card.node.querySelector("fieldset")];
    parts.forEach((it) => {
      this.#parts.set(it, card);
      this.#observer.observe(it);
    });
  }

  leave(card) {
    for (const [part, of] of this.#parts) if (of === card) this.#done(part);
  }

  #done(part) {
    this.#parts.delete(part);
    this.#observer.unobserve(part);
  }

  #met(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.#parts.get(target);
      if (!card || !isIntersecting) continue;
      this.#done(target);
      if ([...this.#parts.values()].includes(card)) continue;
      card.seen = true;
      card.node.dataset.seen = "true";
    }
    this.#changed();
  }
}
