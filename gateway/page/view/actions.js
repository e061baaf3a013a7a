// What can be done with an answer that has ended.

import { element, iconButton } from "../dom.js";
import { icon } from "../icons.js";
import { words } from "../words.js";
import { copyButton } from "./copying.js";

/** A row of buttons; nothing while the turn goes on. */
export function actions(turn, context, can) {
  if (turn.isActive || turn.isLocal) return [];
  const row = [];
  if (turn.text) row.push(copyButton(words.copy, () => turn.text));
  // One that failed with a question of its own has "Try again" above.
  const other = turn.status !== "interrupted" && !(turn.status === "failed" && turn.input);
  if (context.quiet && context.isLast && other && can.origin(turn)) {
    row.push(iconButton(icon("again"), words.again, () => can.again(turn)));
  }
  if (turn.usage) row.push(element("span", { class: "usage" }, words.tokens(turn.usage)));
  return row.length ? [element("div", { class: "actions" }, ...row)] : [];
}
