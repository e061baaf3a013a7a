// Trees of blocks as nodes, kept in step with a growing text: a block that is
// finished is not looked at again. Makes elements and texts only; nothing of
// a text becomes markup, an attribute but `href` and `start`, or a request.

import { element } from "../dom.js";
import * as code from "./code.js";
import { inlines } from "./inline.js";
import { spans } from "./spans.js";

const TASK = /^\[([ xX])\][ \t]+(?=\S)/;

/** What a block is drawn as; a view stays as long as this stays. */
function shape(node) {
  switch (node.type) {
    case "heading":
      // The page's own title is the first heading.
      return `h${Math.min(node.level + 1, 6)}`;
    case "list":
      return node.ordered ? "ol" : "ul";
    case "quote":
      return "blockquote";
    case "item":
      return "li";
    case "rule":
      return "hr";
    case "paragraph":
      return "p";
    default:
      return node.type;
  }
}

function table({ words }) {
  const head = element("thead");
  const inner = element("tbody");
  const attributes = { class: "table", tabindex: "0", role: "group", "aria-label": words.table };
  const box = element("div", attributes, element("table", {}, head, inner));
  return { element: box, inner, head, headed: null };
}

function begun(node, context) {
  const kind = shape(node);
  const common = { kind, children: [], firm: 0, source: null };
  if (kind === "code") return { ...common, ...code.begun(context) };
  if (kind === "table") return { ...common, ...table(context) };
  const made = element(kind === "row" ? "tr" : kind);
  return { ...common, element: made, inner: made };
}

function tree(view, node, { leaf, context }) {
  const open = context.open === node;
  const text = node.lines.join("\n");
  const task = leaf ? TASK.exec(text) : null;
  const source = `${open} ${task !== null} ${text}`;
  if (view.source === source) return;
  view.source = source;
  const found = inlines(task ? text.slice(task[0].length) : text, { open });
  if (task) found.unshift({ type: "task", done: task[1] !== " " }, { type: "text", text: " " });
  spans(view.element, view.children, found, context);
}

function row(view, node, name, context) {
  const open = context.open === node;
  const source = `${open} ${node.aligned} ${node.cells.join("\n")}`;
  if (view.source === source) return;
  view.source = source;
  node.aligned.forEach((aligned, at) => {
    const cell = (view.children[at] ??= { spans: [], element: view.element.appendChild(celled(name)) });
    if (aligned) cell.element.setAttribute("class", aligned);
    else cell.element.removeAttribute("class");
    const last = at === Math.min(node.cells.length, node.aligned.length) - 1;
    spans(cell.element, cell.spans, inlines(node.cells[at] ?? "", { open: open && last }), context);
  });
  view.children.splice(node.aligned.length).forEach((it) => it.element.remove());
}

function celled(name) {
  return element(name, name === "th" ? { scope: "col" } : {});
}

function headed(view, node, context) {
  if (!view.headed) {
    view.headed = begun(node.head, context);
    view.head.append(view.headed.element);
  }
  row(view.headed, node.head, "th", context);
}

function listed(view, node) {
  const list = view.element;
  if (node.loose) list.setAttribute("class", "loose");
  else list.removeAttribute("class");
  if (node.ordered && node.start !== 1) list.setAttribute("start", String(node.start));
  else list.removeAttribute("start");
}

function refresh(view, node, { done, leaf, context }) {
  switch (node.type) {
    case "rule":
      return;
    case "code":
      return code.refresh(view, node, context);
    case "paragraph":
    case "heading":
      return tree(view, node, { leaf, context });
    case "row":
      return row(view, node, "td", context);
    case "table":
      headed(view, node, context);
      break;
    case "list":
      listed(view, node);
  }
  draw(view, node, { done, context });
}

/** A view of the blocks that stand in `parent`. */
export function root(parent) {
  return { kind: "document", element: parent, inner: parent, children: [], firm: 0, source: null };
}

/** Draws a block's children from the first that may have changed. `done` says
 *  that the block is finished. */
export function draw(view, node, { done, context }) {
  for (let at = view.firm; at < node.children.length; at += 1) {
    const child = node.children[at];
    const old = view.children[at];
    const kept = old?.kind === shape(child);
    const next = kept ? old : begun(child, context);
    const leaf = at === 0 && node.type === "item";
    refresh(next, child, { done: done || at < node.firm, leaf, context });
    if (kept) continue;
    view.children[at] = next;
    if (old) old.element.replaceWith(next.element);
    else view.inner.insertBefore(next.element, at > 0 ? view.children[at - 1].element.nextSibling : view.inner.firstChild);
  }
  view.children.splice(node.children.length).forEach((it) => it.element.remove());
  view.firm = done ? node.children.length : node.firm;
}

/** Has everything looked at again, as after a change before the end. */
export function loosen(view) {
  view.source = null;
  if (view.kind === "code") Object.assign(view, { firmLines: 0, firmLength: 0 });
  if (view.headed) view.headed.source = null;
  view.firm = 0;
  if (["code", "p"].includes(view.kind) || /^h\d$/.test(view.kind) || view.kind === "row") return;
  view.children.forEach(loosen);
}
