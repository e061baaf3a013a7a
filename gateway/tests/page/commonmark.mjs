// A real implementation of CommonMark as a witness, and both trees in one
// plain form: tags and texts. The deliberate differences are undone here, each
// by its name.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const FOLDER = new URL("../../../target/tools/page/node_modules/", import.meta.url);

function installed() {
  try {
    return createRequire(new URL("x.js", FOLDER))("commonmark");
  } catch (error) {
    throw new Error(`no commonmark under ${fileURLToPath(FOLDER)}; run: cargo xtask test`, { cause: error });
  }
}

const { Parser } = installed();

/** Headings begin at h2, below the page's own title. */
const level = (number) => `h${Math.min(number + 1, 6)}`;
/** Addresses are compared as a browser spells them. */
const spelled = (address) => {
  try {
    return new URL(address).href;
  } catch {
    return address;
  }
};

// A bare address is a link here and text there, so that one whose text it is
// counts as text in both.
function bare([name, ...parts]) {
  return name.startsWith("a http") && parts.length === 1 && `a ${spelled(parts[0])}` === name;
}

// Links stand in no links here; there, images and addresses may.
const unlinked = (parts) =>
  joined(parts.flatMap((it) => (it[0].startsWith?.("a ") && typeof it !== "string" ? unlinked(it.slice(1)) : [it])));

const NAMES = { block_quote: "blockquote", thematic_break: "hr", emph: "em", strong: "strong", paragraph: "p", item: "li" };

function named(node) {
  switch (node.type) {
    case "heading":
      return level(node.level);
    case "list": {
      const start = node.listType === "ordered" && node.listStart !== 1 ? ` ${node.listStart}` : "";
      return (node.listType === "ordered" ? "ol" : "ul") + start + (node.listTight ? "" : " loose");
    }
    case "link":
    case "image": // An image is a link to it.
      return `a ${spelled(node.destination)}`;
    default:
      return NAMES[node.type];
  }
}

function leaf(node) {
  switch (node.type) {
    case "text":
      return node.literal;
    case "softbreak": // A line's end is a break, as chat pages show it.
    case "linebreak":
      return ["br"];
    case "code":
      return ["code", node.literal];
    case "code_block": {
      const text = node.literal.replace(/\n$/, "");
      return ["pre", (node.info ?? "").split(/\s/, 1)[0].slice(0, 40), text];
    }
    case "html_inline":
    case "html_block":
      throw new Error(`raw HTML is text here, so that it cannot be compared: ${node.literal}`);
    default:
      return null;
  }
}

// Texts beside each other are one.
function joined(parts) {
  const out = [];
  for (const it of parts) {
    if (typeof it === "string" && typeof out.at(-1) === "string") out[out.length - 1] += it;
    else if (it !== "") out.push(it);
  }
  return out;
}

function tree(node) {
  const own = leaf(node);
  if (own !== null) return own;
  const children = [];
  for (let child = node.firstChild; child; child = child.next) children.push(tree(child));
  const parts = joined(children);
  if (node.type === "document") return parts;
  // An image or a link that shows nothing shows its address.
  if (parts.length === 0 && (node.type === "image" || node.type === "link")) parts.push(spelled(node.destination));
  const made = [named(node), ...parts];
  if (node.type !== "image" && node.type !== "link") return made;
  return bare(made) ? parts[0] : [made[0], ...unlinked(parts)];
}

/** What the witness makes of a text. */
export const witnessed = (text) => tree(new Parser().parse(text));

const BLOCKS = new Set(["p", "blockquote", "hr", "li", "em", "strong", "br"]);

function ours(node) {
  if (node.data !== undefined) return node.data;
  const { name } = node;
  const of = (it) => it.attributes.get("class");
  if (of(node) === "host") return "";
  if (of(node) === "code") {
    const [head, pre] = node.childNodes;
    return ["pre", head.childNodes[0].textContent, pre.textContent];
  }
  if (name === "code") return ["code", node.textContent];
  const children = joined(node.childNodes.map(ours));
  if (name === "a") {
    const made = [`a ${node.getAttribute("href")}`, ...children];
    return bare(made) ? children[0] : made;
  }
  if (name === "ol" || name === "ul") {
    const start = node.getAttribute("start");
    return [name + (start ? ` ${start}` : "") + (of(node) ? ` ${of(node)}` : ""), ...children];
  }
  if (BLOCKS.has(name) || /^h[2-6]$/.test(name)) return [name, ...children];
  throw new Error(`<${name}> has no counterpart`);
}

/** What stands in a node that was drawn, in the same form. */
export const shown = (node) => joined(node.childNodes.map(ours));
