// A button that copies a text and says that it did.

import { copy } from "../clipboard.js";
import { announce, iconButton } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";

/** How long one sees that it worked, in milliseconds. */
const SEEN = 1_500;

/** `text()` is asked when the button is pressed. */
export function copyButton(label, text) {
  const button = iconButton(icon("copy"), label, async () => {
    const done = await copy(text());
    announce(done ? words.copied : words.uncopied);
    button.replaceChildren(icon(done ? "check" : "close"));
    setTimeout(() => button.replaceChildren(icon("copy")), SEEN);
  });
  return button;
}
