// The page's address: `#/<session>`, so that a conversation can be kept, sent to
// another device, and gone back from.

/** The address of a session on this page. */
export const address = (session) => `#/${encodeURIComponent(session)}`;

/** The session that the address names: `""` for none, `null` for what can be none.
 *  One or two dots would lead to other routes. */
export function addressed() {
  try {
    const session = decodeURIComponent(location.hash.slice(2));
    return /^\.{1,2}$/.test(session) ? null : session;
  } catch {
    return null;
  }
}
