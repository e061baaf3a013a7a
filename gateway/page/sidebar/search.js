// Which conversations are looked for. Pure.

/** Those that have every word in their title, last question or last answer. */
export function found(sessions, text) {
  const wanted = text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const has = ({ title, lastQuestion, lastAnswer }) => {
    const all = [title, lastQuestion, lastAnswer].filter(Boolean).join("\n").toLocaleLowerCase();
    return wanted.every((it) => all.includes(it));
  };
  return wanted.length ? sessions.filter(has) : sessions;
}
