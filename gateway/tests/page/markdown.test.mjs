// The page's Markdown: compared with a real CommonMark, drawn whole and in
// pieces, and fed with what means harm. Needs no browser.

import assert from "node:assert/strict";
import test from "node:test";

import { shown, witnessed } from "./commonmark.mjs";
import { heavy, HOSTILE, OWN, standard } from "./corpus.mjs";
import { counted, document, drawn, elements } from "./document.mjs";

globalThis.document = document;
const copied = [];
const navigator = { language: "en", clipboard: { writeText: async (text) => copied.push(text) } };
Object.defineProperty(globalThis, "navigator", { value: navigator });
const { show, inline } = await import("../../page/markdown/show.js");
const { DEPTH } = await import("../../page/markdown/starts.js");
const { HEIGHT } = await import("../../page/markdown/emphasis.js");

const SEED = Number(process.env.WEIR_SEED ?? 20261121);
/** As pages do: marks of sources 1 to 4 have a node. */
const link = (number) => {
  if (number < 1 || number > 4) return null;
  const node = document.createElement("sup");
  node.append(String(number));
  return node;
};

const box = () => document.createElement("div");

function whole(text, options = {}) {
  const parent = box();
  show(parent, text, { link, generation: 1, ...options });
  return parent;
}

/** Numbers from 0 to 1, the same ones for the same seed. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let it = Math.imul(state ^ (state >>> 15), 1 | state);
    it = (it + Math.imul(it ^ (it >>> 7), 61 | it)) ^ it;
    return ((it ^ (it >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pick = (next, list) => list[Math.floor(next() * list.length)];

const SPANS = "a|b|word| |  |*|**|***|_|__|`|``|[|](http://a.b)|](http://c.d \"t\")|![|]|\\|\\*|&amp;|&#42;|.|(|)|\"|é|ö".split("|");
const MARKS = ["- ", "* ", "1. ", "2) ", "> ", ">", "# ", "    ", "  ", " ", "\t", "~~~", "```", "---", "===", "***", "-", "1.", "", "", "", ""];

function spans(next) {
  return Array.from({ length: Math.floor(next() * 14) }, () => pick(next, SPANS)).join("");
}

function lines(next) {
  const line = () => Array.from({ length: Math.floor(next() * 4) }, () => pick(next, MARKS)).join("") + (next() < 0.6 ? pick(next, ["a", "b c", "*d*", "e"]) : "");
  return Array.from({ length: 1 + Math.floor(next() * 9) }, line).join("\n");
}

// Links to what nobody may follow are text, so that such texts cannot be
// compared; says whether this one could.
function compared(text) {
  const expected = witnessed(text);
  if (/\["a (?!https?:|mailto:)/.test(JSON.stringify(expected))) return false;
  assert.deepEqual(shown(whole(text, { link: undefined })), expected, JSON.stringify(text));
  return true;
}

test("every text of the corpus has the structure that CommonMark gives it", () => {
  const count = standard().filter(compared).length;
  assert.ok(count > 1000, `only ${count} texts were compared`);
});

test("generated spans have the structure that CommonMark gives them", () => {
  const next = random(SEED);
  const count = Array.from({ length: 10_000 }, () => compared(spans(next))).filter(Boolean).length;
  assert.ok(count > 8000, `only ${count} texts were compared`);
});

test("generated blocks have the structure that CommonMark gives them", () => {
  const next = random(SEED + 1);
  const count = Array.from({ length: 10_000 }, () => compared(lines(next))).filter(Boolean).length;
  assert.ok(count > 8000, `only ${count} texts were compared`);
});

/** Texts as models write them: blocks of every kind, one after the other. */
function answer(next, size) {
  let text = "";
  while (text.length < size) text += pick(next, OWN.concat(HOSTILE)) + pick(next, ["\n", "\n\n", "\n\n", "\n- ", "\n> ", "\n```\n"]) + lines(next) + "\n";
  return text;
}

const ALL = [...OWN, ...HOSTILE, ...standard().slice(-1)];

/** Draws a text as it grows, and at times takes some of it back. */
function grown(text, next, { step = 12, check = false } = {}) {
  const parent = box();
  let at = 0;
  while (at < text.length) {
    at += 1 + Math.floor(next() * step);
    if (next() < 0.03) at = Math.floor(next() * at);
    const growing = next() < 0.7;
    show(parent, text.slice(0, at), { link, generation: 1, growing });
    if (check) assert.equal(drawn(parent), drawn(whole(text.slice(0, at), { growing })), JSON.stringify(text.slice(0, at)));
  }
  show(parent, text, { link, generation: 1 });
  return parent;
}

test("a text that came in pieces ends as the text that is drawn at once", () => {
  const next = random(SEED + 2);
  for (const text of ALL) {
    for (let n = 0; n < 5; n += 1) assert.equal(drawn(grown(text, next)), drawn(whole(text)), JSON.stringify(text));
  }
  for (let n = 0; n < 300; n += 1) {
    const text = answer(next, 300);
    assert.equal(drawn(grown(text, next)), drawn(whole(text)), JSON.stringify(text));
  }
});

test("every frame of a growing text is what the text so far is when drawn at once", () => {
  const next = random(SEED + 3);
  for (const text of [...OWN, ...HOSTILE]) grown(text, next, { step: 3, check: true });
  for (let n = 0; n < 100; n += 1) grown(answer(next, 200), next, { step: 8, check: true });
});

test("a text that changes before its end is drawn anew", () => {
  const next = random(SEED + 4);
  for (let n = 0; n < 500; n += 1) {
    const parent = box();
    const text = answer(next, 120);
    const other = text.slice(0, Math.floor(next() * text.length)) + answer(next, 60);
    for (const it of [text, other, other.slice(0, 7), "", text]) {
      show(parent, it, { link, generation: 1 });
      assert.equal(drawn(parent), drawn(whole(it)), JSON.stringify([text, other, it]));
    }
  }
});

test("marks of sources follow their generation, and nothing else is touched", () => {
  const parent = box();
  const text = "See [1].\n\n- a **[2]**\n- [x] b [7]\n\n| [3] |\n|---|\n| [4](https://a.example) |\n\n```\n[1]\n```\n";
  const before = whole(text, { link: undefined });
  show(parent, text, { link: () => null, generation: 0 });
  const code = [...elements(parent)].find((it) => it.name === "code");
  assert.ok(!drawn(parent).includes("<sup>"));
  assert.equal(parent.textContent, before.textContent);
  show(parent, text, { link, generation: 1 });
  assert.equal(drawn(parent), drawn(whole(text)));
  assert.equal([...elements(parent)].filter((it) => it.name === "sup").length, 3);
  assert.equal([...elements(parent)].find((it) => it.name === "code"), code);
  assert.equal(code.textContent, "[1]");
});

test("finished blocks keep their nodes while the text grows", () => {
  const text = OWN.join("\n\n").slice(0, 1200) + "\n\n- one\n- two\n\n  three\n- four\n\n```js\nlet a;\nlet b;\n```\n";
  const parent = box();
  const first = [];
  for (let at = 1; at <= text.length; at += 1) {
    show(parent, text.slice(0, at), { link, generation: 1, growing: true });
    for (const [n, it] of parent.childNodes.slice(0, -2).entries()) {
      first[n] ??= it;
      assert.equal(parent.childNodes[n], first[n], `block ${n} was made anew at ${at}`);
    }
  }
  assert.ok(first.length > 15);
});

/** What the frames cost in nodes made and characters written. */
function cost(text, step) {
  const parent = box();
  for (let at = step; at < text.length; at += step) show(parent, text.slice(0, at), { link, generation: 1, growing: true });
  show(parent, text, { link, generation: 1, growing: true });
  Object.assign(counted, { made: 0, written: 0 });
  const frames = 50;
  for (let n = 1; n <= frames; n += 1) show(parent, text + "word ".repeat(n), { link, generation: 1, growing: true });
  return { made: counted.made / frames, written: counted.written / frames };
}

test("a frame costs what the unfinished end costs, however much stands before it", () => {
  const texts = {
    paragraphs: "A paragraph with **bold** and `code`.\n\n",
    list: "- an item with **bold**\n",
    code: "let a = 1; // a line of code\n",
    table: "| a | b |\n",
    quote: "> - a quoted item\n",
  };
  for (const [name, piece] of Object.entries(texts)) {
    const open = { code: "```js\n", table: "| a | b |\n|---|---|\n" }[name] ?? "";
    const { made, written } = cost(open + piece.repeat(100_000 / piece.length), 5000);
    assert.ok(made < 20, `${name}: ${made} nodes a frame`);
    assert.ok(written < 600, `${name}: ${written} characters a frame`);
  }
});

/** Milliseconds of the processor that 300 frames behind a text take. */
function frames(text) {
  let least = Infinity;
  for (let run = 0; run < 3; run += 1) {
    const parent = box();
    show(parent, text, { link, generation: 1, growing: true });
    const from = process.cpuUsage().user;
    for (let n = 1; n <= 300; n += 1) show(parent, text + "word ".repeat(n % 40), { link, generation: 1, growing: true });
    least = Math.min(least, (process.cpuUsage().user - from) / 1000);
  }
  return least;
}

test("finished blocks are not even looked at", () => {
  for (const piece of ["a paragraph\n\n", "- an item\n", "> quoted\n>\n"]) {
    const [short, long] = [5, 200].map((kilobytes) => frames(piece.repeat((kilobytes * 1000) / piece.length)));
    assert.ok(long < 5 * Math.max(short, 10), `${JSON.stringify(piece)}: ${short} ms behind 5 kB, ${long} ms behind 200 kB`);
  }
});

/** What may be made, and with which attributes. */
const ALLOWED = {
  div: ["class", "tabindex", "role", "aria-label"],
  pre: ["tabindex", "role", "aria-label"],
  span: ["class", "role", "aria-label"],
  button: ["type", "class"],
  a: ["href", "target", "rel"],
  bdi: ["class"],
  ol: ["start", "class"],
  ul: ["class"],
  th: ["scope", "class"],
  td: ["class"],
};
for (const name of ["h2", "h3", "h4", "h5", "h6", "p", "code", "li", "blockquote", "hr", "br", "em", "strong", "del", "table", "thead", "tbody", "tr", "sup"]) ALLOWED[name] = [];
const CLASSES = new Set(["markdown", "code", "code-head", "language", "copy", "task", "host", "table", "loose", "left", "center", "right"]);

function inert(parent) {
  for (const it of elements(parent)) {
    assert.ok(ALLOWED[it.name], `<${it.name}>`);
    for (const [name, value] of it.attributes) {
      assert.ok(ALLOWED[it.name].includes(name), `<${it.name} ${name}>`);
      if (name === "class") assert.ok(CLASSES.has(value), value);
      if (name === "start") assert.match(value, /^\d{1,9}$/);
      if (name !== "href") continue;
      assert.match(value, /^(?:https?:\/\/[^/]|mailto:)/);
      assert.equal(it.getAttribute("target"), "_blank");
      assert.equal(it.getAttribute("rel"), "noopener noreferrer nofollow");
    }
  }
}

test("nothing that a text says becomes an element or an attribute of its own", () => {
  const next = random(SEED + 5);
  for (const text of ALL) {
    inert(whole(text));
    inert(whole(text, { growing: true }));
  }
  for (let n = 0; n < 300; n += 1) inert(grown(answer(next, 300), next));
});

test("only http, https and mailto are followed, and all else stays text", () => {
  for (const text of HOSTILE.slice(3, 7)) {
    assert.ok(!drawn(whole(text)).includes("<a "), text);
  }
  for (const text of ["[a](/v1/me)", "[a](//evil.example)", "[a](x.html)", "[a](#top)", "[a](ftp://a.example)", "[a](http://)"]) {
    assert.equal(drawn(whole(text).firstChild), drawn(whole(text.replaceAll("[", "\\[")).firstChild));
    assert.equal(whole(text).textContent, text);
  }
});

test("any text is drawn, whatever it consists of", () => {
  const next = random(SEED + 6);
  const any = () => String.fromCharCode(Math.floor(next() * (next() < 0.7 ? 128 : 65536)));
  for (let n = 0; n < 3000; n += 1) {
    const text = Array.from({ length: Math.floor(next() * 60) }, any).join("");
    inert(whole(text));
    assert.equal(drawn(grown(text, next)), drawn(whole(text)), JSON.stringify(text));
  }
  for (const text of ["\u0000", "\ud800", "\udfff\ud800", "\r", "\r\n", "\n".repeat(9), " ", "", "\ufeff# a"]) whole(text);
});

/** What drawing takes, in milliseconds of the processor; the least of some. */
function took(text, growing) {
  let least = Infinity;
  for (let n = 0; n < 3 && least > QUICK; n += 1) {
    const from = process.cpuUsage();
    whole(text, { growing });
    const { user, system } = process.cpuUsage(from);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

/** Nothing that takes the square of 100 kB is done in so many milliseconds. */
const QUICK = 500;

test("a hostile text of 100 kB takes time in proportion to its length", () => {
  const small = heavy(25_000);
  heavy(100_000).forEach((text, n) => {
    // A growing text is looked at in more ways than a finished one.
    const large = took(text, true);
    if (large <= QUICK) return;
    // Four times the text; sixteen times would be the square.
    const most = took(small[n], true) * 10;
    assert.ok(large < most, `${JSON.stringify(text.slice(0, 30))}: ${large} ms, at most ${most} ms`);
  });
});

test("a line of a megabyte is drawn", () => {
  for (const piece of ["a", "*", "[", "`", "> ", " ", "https://a.example/"]) {
    const from = process.cpuUsage().user;
    whole(piece.repeat(1_000_000 / piece.length));
    const took = (process.cpuUsage().user - from) / 1000;
    assert.ok(took < 5000, `${piece}: ${took} ms`);
  }
});

function depth(node) {
  let deepest = 0;
  const open = [[node, 0]];
  while (open.length) {
    const [it, at] = open.pop();
    deepest = Math.max(deepest, at);
    for (const child of it.childNodes ?? []) open.push([child, at + 1]);
  }
  return deepest;
}

test("nothing stands deeper than the bounds, and what is deeper is text", () => {
  const quotes = whole(`${">".repeat(40)} a`);
  assert.equal([...elements(quotes)].filter((it) => it.name === "blockquote").length, DEPTH);
  assert.equal(quotes.textContent, `${">".repeat(40 - DEPTH)} a`);
  const spans = whole(`${"*a **b ".repeat(30)}c${"** d*".repeat(30)}`);
  assert.ok(depth(spans) <= HEIGHT + 2, `${depth(spans)}`);
  // Lists and items, emphasis, and what stands around them.
  for (const text of heavy(10_000)) assert.ok(depth(whole(text)) <= 2 * DEPTH + HEIGHT + 6, text.slice(0, 40));
});

/** A drawn node in short: tags, classes and texts. */
function brief(node) {
  if (node.data !== undefined) return node.data;
  const inner = node.childNodes.map(brief).join("");
  const kind = node.getAttribute("class");
  if (kind === "code") return `{${node.childNodes[0].childNodes[0].textContent}|${node.childNodes[1].textContent}}`;
  if (kind === "table" || node.name === "div") return inner;
  if (node.name === "a") return `<a ${node.getAttribute("href")}>${inner}</a>`;
  return `<${node.name}${kind ? `.${kind}` : ""}>${inner}</${node.name}>`;
}

const DRAWN = {
  "| a | b |\n|---|:-:|\n| `x \\| y` |\n| 1 | 2 | 3 |":
    "<table><thead><tr><th>a</th><th.center>b</th></tr></thead><tbody><tr><td><code>x | y</code></td><td.center></td></tr><tr><td>1</td><td.center>2</td></tr></tbody></table>",
  "Here:\n| a |\n|---|\n> b": "<p>Here:</p><table><thead><tr><th>a</th></tr></thead><tbody></tbody></table><blockquote><p>b</p></blockquote>",
  "| a | b |\n|---|": "<p>| a | b |<br></br>|---|</p>",
  "- [ ] a\n- [x] b": "<ul><li><p><span.task>☐</span> a</p></li><li><p><span.task>☑</span> b</p></li></ul>",
  "[x] a": "<p>[x] a</p>",
  "~~a~~ ~b~": "<p><del>a</del> ~b~</p>",
  "一~二~三，3~5 个": "<p>一~二~三，3~5 个</p>",
  "**中文**文字": "<p><strong>中文</strong>文字</p>",
  "**中文。**文字": "<p><strong>中文。</strong>文字</p>",
  "他说**“你好”**吗": "<p>他说<strong>“你好”</strong>吗</p>",
  "文字**（注）**文字": "<p>文字<strong>（注）</strong>文字</p>",
  "a\nb": "<p>a<br></br>b</p>",
  "<b>a</b>": "<p><b>a</b></p>",
  "<!-- a -->": "<p><!-- a --></p>",
  "![alt](https://a.example/i.png)": "<p><a https://a.example/i.png>alt</a></p>",
  "![alt](data:x)": "<p>alt</p>",
  "See https://a.example/b.": "<p>See <a https://a.example/b>https://a.example/b</a>.</p>",
  "(https://a.example/c_(d))": "<p>(<a https://a.example/c_(d)>https://a.example/c_(d)</a>)</p>",
  "看https://a.example/b。好": "<p>看<a https://a.example/b>https://a.example/b</a>。好</p>",
  "**https://a.example**": "<p><strong><a https://a.example/>https://a.example</a></strong></p>",
  "`https://a.example`": "<p><code>https://a.example</code></p>",
  "<a@b.example>": "<p><a mailto:a@b.example>a@b.example</a></p>",
  "[1][2] [9]": "<p><sup>1</sup><sup>2</sup> [9]</p>",
  "[1](https://a.example)": "<p><a https://a.example/>1</a></p>",
  "`[1]` \\[1] [1\\]": "<p><code>[1]</code> [1] [1]</p>",
  "[see [1]](https://a.example)": "<p><a https://a.example/>see [1]</a></p>",
  "[ref]: https://a.example": "<p>[ref]: <a https://a.example/>https://a.example</a></p>",
  "1. a\n   ```sh\n   b\n   ```\n2. c": "<ol><li><p>a</p>{sh|b}</li><li><p>c</p></li></ol>",
  "```\na\u202eb\u200bc\u0000\n```": "{|a⟦U+202E⟧b⟦U+200B⟧c⟦U+0000⟧}",
  "a\u202eb\u0000": "<p>a\ufffdb\ufffd</p>",
  [`Z${"\u0301".repeat(500)}e\u0301`]: `<p>Z${"\u0301".repeat(5)}\ufffde\u0301</p>`,
  "```\n👩\u200d💻 a\u200db\n```": "{|👩\u200d💻 a⟦U+200D⟧b}",
};

test("what the standard has no word for is drawn as people expect it", () => {
  for (const [text, expected] of Object.entries(DRAWN)) assert.equal(brief(whole(text)), expected, text);
});

const GROWING = {
  "a **bol": "<p>a <strong>bol</strong></p>",
  "a **bold*": "<p>a <strong>bold</strong></p>",
  "a **bold** and": "<p>a <strong>bold</strong> and</p>",
  "a **": "<p>a</p>",
  "2 * 3 and f(x*y": "<p>2 * 3 and f(x*y</p>",
  "a `cod": "<p>a <code>cod</code></p>",
  "***a": "<p><em><strong>a</strong></em></p>",
  "a [text](https://a.exam": "<p>a text</p>",
  "a\n-": "<p>a</p>",
  "a\n\n-": "<p>a</p>",
  "a\n\n- b": "<p>a</p><ul><li><p>b</p></li></ul>",
  "a\n``": "<p>a</p>",
  "```js\nlet a;\n``": "{js|let a;}",
  "| a | b |": "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody></tbody></table>",
  "| a | b |\n|--": "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody></tbody></table>",
  "| a | b |\n|---|---|\n| **c": "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td><strong>c</strong></td><td></td></tr></tbody></table>",
  "**a\n\nb": "<p>**a</p><p>b</p>",
};

test("what a growing text has only begun looks as it will when it has ended", () => {
  for (const [text, expected] of Object.entries(GROWING)) {
    assert.equal(brief(whole(text, { growing: true })), expected, text);
  }
});

const TOLD = {
  "[paypal.com](https://evil.example/)": "evil.example",
  "[https://paypal.com/login](https://evil.example/)": "evil.example",
  "[Log in at **PayPal.com** now](https://evil.example/)": "evil.example",
  "[paypal\u200b.com](https://evil.example/)": "evil.example",
  "[ｐａｙｐａｌ．ｃｏｍ](https://evil.example/)": "evil.example",
  "https://paypal.com@evil.example/": "evil.example",
  "[a@bank.example](mailto:b@evil.example)": "evil.example",
  "[192.0.2.1](https://evil.example/)": "evil.example",
  "[bank](https://b\u0430nk.example/)": "xn--bnk-6cd.example",
  "https://b\u0430nk.example/": "xn--bnk-6cd.example",
  "![bank.example](https://evil.example/)": "evil.example",
  "[bank.example](https://bank.example/)": null,
  "[www.bank.example](https://bank.example/login)": null,
  "https://bank.example/index.html": null,
  "[the manual, v1.2](https://bank.example/)": null,
  "[点击这里。谢谢](https://bank.example/)": null,
  "<a@bank.example>": null,
};

test("a link that names another address than it leads to shows its host", () => {
  for (const [text, expected] of Object.entries(TOLD)) {
    const host = [...elements(whole(text))].find((it) => it.getAttribute("class") === "host");
    assert.equal(host?.textContent ?? null, expected && ` (${expected})`, text);
  }
});

test("a line of its own is drawn without blocks", () => {
  const parent = box();
  parent.append(...inline("# **a** [1] <b>", link));
  assert.equal(brief(parent), "# <strong>a</strong> <sup>1</sup> <b>");
});

test("code is copied as it is seen", async () => {
  document.getElementById = () => box();
  const parent = whole("```js\nlet a = '\u202e';\n\n  b();\n```\n");
  const button = [...elements(parent)].find((it) => it.name === "button");
  await button.listeners.get("click")();
  assert.deepEqual(copied, ["let a = '⟦U+202E⟧';\n\n  b();"]);
  assert.equal(button.textContent, "Copied");
});
