// What can be done with an answer that has ended.

import { copy } from "../clipboard.js";
import { announce, element, iconButton } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";

/** A row of buttons; nothing while the turn goes on. */
export function actions(turn, context, can) {
  if (turn.isActive || turn.isLocal) return [];
  const row = [];
  if (turn.text) row.push(copyButton(turn));
  if (context.quiet && context.isLast && turn.status !== "interrupted" && can.origin(turn)) {
    row.push(iconButton(icon("again"), words.again, () => can.again(turn)));
  }
  if (turn.usage) row.push(element("span", { class: "usage" }, words.tokens(turn.usage)));
  return row.length ? [element("div", { class: "actions" }, ...row)] : [];
}

function copyButton(turn) {
  const button = iconButton(icon("copy"), words.copy, async () => {
    const done = await copy(turn.text);
    announce(done ? words.copied : words.uncopied);
    button.replaceChildren(icon(done ? "check" : "copy"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  });
  return button;
}
