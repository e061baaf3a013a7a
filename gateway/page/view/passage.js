// What was taken from a document, for a reader. Nothing in it is followed or
// fetched.

import { element } from "../dom.js";
import { show } from "../markdown/show.js";
import { visible } from "../model/json.js";
import { words } from "../words.js";

/** What is known of a place, as texts for a reader. */
export function told({ source = "", heading = "", firstLine, lastLine }) {
  const name = visible((heading || source || words.unnamed).replaceAll(" > ", " › "));
  const lines = firstLine ? words.lines(firstLine, lastLine ?? firstLine) : "";
  return { name, file: heading ? visible(source) : "", lines };
}

/** The passage itself: a document's Markdown, in which no mark leads anywhere. */
export function passage(text) {
  const quote = element("blockquote", { class: "quote", tabindex: "0", role: "region", "aria-label": words.passage });
  show(quote, text, { link: () => null, generation: 0 });
  return quote;
}
