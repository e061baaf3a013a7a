// What differs between two texts, line by line. Pure. Compares in bounded time:
// of texts that differ in too much, all of one goes and all of the other comes.

/** The most pairs of lines that are compared. */
const MOST = 1_000_000;
/** Unchanged lines that are shown around a change. */
const AROUND = 2;

/**
 * The lines of both texts, `{kind, text}`: `kind` is `same`, `gone` or `come`.
 */
export function differences(before, after) {
  const [one, other] = [before.split("\n"), after.split("\n")];
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start += 1;
  let end = 0;
  const room = Math.min(one.length, other.length) - start;
  while (end < room && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  const middle = changes(one.slice(start, one.length - end), other.slice(start, other.length - end));
  return [...lines("same", one.slice(0, start)), ...middle, ...lines("same", one.slice(one.length - end))];
}

const lines = (kind, texts) => texts.map((text) => ({ kind, text }));

function changes(one, other) {
  if (one.length * other.length > MOST) return [...lines("gone", one), ...lines("come", other)];
  const longest = common(one, other);
  const found = [];
  let [at, to] = [0, 0];
  while (at < one.length && to < other.length) {
    if (one[at] === other[to]) {
      found.push({ kind: "same", text: one[at] });
      at += 1;
      to += 1;
    } else if (longest[at + 1][to] >= longest[at][to + 1]) {
      found.push({ kind: "gone", text: one[at] });
      at += 1;
    } else {
      found.push({ kind: "come", text: other[to] });
      to += 1;
    }
  }
  return [...found, ...lines("gone", one.slice(at)), ...lines("come", other.slice(to))];
}

/** How many lines the rests of both have in common, from each place on. */
function common(one, other) {
  const table = Array.from({ length: one.length + 1 }, () => new Uint32Array(other.length + 1));
  for (let at = one.length - 1; at >= 0; at -= 1) {
    for (let to = other.length - 1; to >= 0; to -= 1) {
      const both = one[at] === other[to];
      table[at][to] = both ? table[at + 1][to + 1] + 1 : Math.max(table[at + 1][to], table[at][to + 1]);
    }
  }
  return table;
}

/** The same with far-off unchanged lines left out: one of kind `skipped` with
 *  their number as `count` stands for them. */
export function hunks(all) {
  const near = all.map(({ kind }) => kind !== "same");
  const kept = all.map((_, at) => near.slice(Math.max(0, at - AROUND), at + AROUND + 1).some(Boolean));
  const found = [];
  all.forEach((line, at) => {
    if (kept[at]) found.push(line);
    else if (found.at(-1)?.kind === "skipped") found.at(-1).count += 1;
    else found.push({ kind: "skipped", count: 1 });
  });
  return found;
}
