// Light formatting of an answer, made of nodes. No text of an answer ever
// becomes markup, and nothing in it can be followed or loaded.

const FENCE = /^\s*(```+|~~~+)/;
const HEADING = /^(#{1,4})\s+(.*)$/;
const ITEM = /^\s*(?:([-*+•])|(\d{1,3})[.)])\s+(.*)$/;
const QUOTE = /^>\s?(.*)$/;
const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|\[(\d{1,3})\]/g;

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Cuts a text into blocks; the source of a finished block never changes. */
export function blocks(text) {
  const found = [];
  let block = null;
  const close = () => {
    if (block) found.push(block);
    block = null;
  };
  const line_of = (kind, line, more = {}) => {
    if (block?.kind !== kind) {
      close();
      block = { kind, lines: [], ...more };
    }
    block.lines.push(line);
  };
  for (const line of text.split("\n")) {
    if (block?.kind === "code") {
      if (line.trim() === block.fence) close();
      else block.lines.push(line);
      continue;
    }
    let match;
    if ((match = FENCE.exec(line))) {
      close();
      block = { kind: "code", lines: [], fence: match[1] };
    } else if (!line.trim()) {
      close();
    } else if ((match = HEADING.exec(line))) {
      close();
      found.push({ kind: "heading", lines: [match[2]], level: match[1].length });
    } else if ((match = ITEM.exec(line))) {
      line_of(match[1] ? "bullets" : "numbers", match[3], { start: match[2] });
    } else if ((match = QUOTE.exec(line))) {
      line_of("quote", match[1]);
    } else if (block?.kind === "bullets" || block?.kind === "numbers") {
      block.lines[block.lines.length - 1] += ` ${line.trim()}`;
    } else {
      line_of("paragraph", line);
    }
  }
  close();
  return found;
}

/** Shows what stands within a line; `link` as for `show`. */
export function inline(text, link) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] !== undefined) nodes.push(element("code", {}, match[2].trim() || match[2]));
    else if (match[3] !== undefined) nodes.push(element("strong", {}, ...inline(match[3], link)));
    else nodes.push(link(Number(match[4])) ?? match[0]);
  }
  nodes.push(text.slice(at));
  return nodes.filter((it) => it !== "");
}

function node_of(block, link) {
  const lines = block.lines;
  switch (block.kind) {
    case "code":
      return element("pre", { tabindex: "0" }, element("code", {}, lines.join("\n")));
    case "heading":
      return element(`h${Math.min(block.level + 1, 4)}`, {}, ...inline(lines[0], link));
    case "bullets":
    case "numbers": {
      const items = lines.map((it) => element("li", {}, ...inline(it, link)));
      const start = block.start && block.start !== "1" ? { start: block.start } : {};
      return element(block.kind === "bullets" ? "ul" : "ol", start, ...items);
    }
    case "quote":
      return element("blockquote", {}, ...inline(lines.join(" "), link));
    default: {
      const nodes = lines.flatMap((it, n) => (n ? [element("br"), ...inline(it, link)] : inline(it, link)));
      return element("p", {}, ...nodes);
    }
  }
}

/** Shows a text in `parent`, touching only blocks that have changed. `link`
 *  makes the node for a source's number, or nothing. */
export function show(parent, text, link, generation) {
  const wanted = blocks(text);
  const shown = parent.shown ?? [];
  const next = wanted.map((block, n) => {
    const source = `${generation}|${block.kind}|${block.level}|${block.start}|${block.lines.join("\n")}`;
    return shown[n]?.source === source ? shown[n] : { source, node: node_of(block, link) };
  });
  next.forEach((it, n) => {
    if (parent.children[n] === it.node) return;
    if (parent.children[n]) parent.children[n].replaceWith(it.node);
    else parent.append(it.node);
  });
  while (parent.children.length > next.length) parent.lastChild.remove();
  parent.shown = next;
}
