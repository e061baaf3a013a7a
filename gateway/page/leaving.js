// Whether calls that wait for a human may be left undecided by another question.
// Decides nothing about them itself.

import { confirmed } from "./dialog.js";
import { words } from "./words.js";

/** Asks where calls wait; a question that is not asked then goes `back(input)`,
 *  unless it is the one that stands there already. */
export async function mayLeave(conversation, input, { replaces }, back) {
  const calls = conversation.review?.calls.length;
  if (!calls || (await confirmed(words.leaveTitle, words.leaveText(calls), words.leave))) return true;
  if (!replaces || conversation.find(replaces)?.input !== input) back(input);
  return false;
}
