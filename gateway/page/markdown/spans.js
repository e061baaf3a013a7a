// Trees of what stands within a line as nodes. What stayed the same keeps its
// node, so that a selection outlives the frames of a growing text.

import { element } from "../dom.js";
import { code, prose } from "./characters.js";

const ELEMENTS = { em: "em", strong: "strong", strike: "del" };

/** Writes a text where another stood, keeping what both begin with. */
export function write(node, text) {
  if (node.data === text) return;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}

function source(number, text, { link }) {
  return link?.(number) ?? document.createTextNode(text);
}

function begun(it, context) {
  switch (it.type) {
    case "text":
      return document.createTextNode(prose(it.text));
    case "code":
      return element("code", {}, document.createTextNode(code(it.text)));
    case "break":
      return element("br");
    case "task":
      return element("span", { class: "task", role: "img" });
    case "mark":
      return source(it.number, it.text, context);
    case "link":
      return element("a", { target: "_blank", rel: "noopener noreferrer nofollow" });
    default:
      return element(ELEMENTS[it.type]);
  }
}

function addressed(view, it) {
  if (view.node.getAttribute("href") !== it.href) view.node.setAttribute("href", it.href);
  if (view.host === it.host) return;
  view.beside?.remove();
  view.host = it.host;
  // In its own direction, whatever the link's text does to its own.
  view.beside = it.host ? element("bdi", { class: "host" }, ` (${it.host})`) : null;
  if (view.beside) view.node.append(view.beside);
}

function refresh(view, it, context) {
  if (it.type === "text") write(view.node, prose(it.text));
  if (it.type === "code") write(view.node.firstChild, code(it.text));
  if (it.type === "link") addressed(view, it);
  if (it.type === "task") {
    view.node.textContent = it.done ? "☑" : "☐";
    view.node.setAttribute("aria-label", it.done ? context.words.taskDone : context.words.taskOpen);
  }
  if (it.children) spans(view.node, view.children, it.children, context);
}

function same(view, it, { generation }) {
  if (view?.type !== it.type) return false;
  return it.type !== "mark" || (view.number === it.number && view.generation === generation);
}

function created(it, context) {
  const { generation } = context;
  const view = { type: it.type, number: it.number, generation, children: [], node: begun(it, context), host: "" };
  refresh(view, it, context);
  return view;
}

/** Makes the nodes within `parent` those of a tree; `views` is what was made
 *  there before. */
export function spans(parent, views, tree, context) {
  tree.forEach((it, at) => {
    const view = views[at];
    if (same(view, it, context)) return refresh(view, it, context);
    views[at] = created(it, context);
    if (view) view.node.replaceWith(views[at].node);
    else parent.insertBefore(views[at].node, at > 0 ? views[at - 1].node.nextSibling : parent.firstChild);
  });
  views.splice(tree.length).forEach((it) => it.node.remove());
}

/** The nodes of a tree, made once. */
export function nodes(tree, context) {
  return tree.map((it) => created(it, context).node);
}
