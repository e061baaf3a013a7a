// Texts to draw: what models say, each rule of CommonMark that is followed, and
// what somebody who means harm would write.

/** Comparable with CommonMark as they stand: no raw HTML, tables, bare addresses. */
export const STANDARD = String.raw`# One
## Two *three* ##
###### six #
####### seven
#nospace
#	tab
 # indented
    # code
#
## 
# a #b
# a \#
Setext
===
Setext *two
lines*
---
a
b
===
> a
===
- a
===
---
***
___
 - - -
- - - x
*-*
** * ** * **
a
***
b
- a
- b
- c
-
- a
-

  a
- a

- b
- a
  - b
    - c
      - d
- a
 - b
  - c
   - d
    - e
- a

  b

  c
- a

      code
-     code
-  a

   b
1. a
2. b
3) c
7. seven
8. eight
0. zero
007. bond
1234567890. no
-1. no
para
1. one
para
2. no
para
-
para
- item
* a
+ b
- c
- a
-
- c
- a

-

- c
* a
  > b
  >
* c
- a
  - b

    c
- d
- a
  > b
  ~~~
  c
  ~~~
- d
* foo
  * bar

  baz
- a
  - b
  - c

- d
  - e
10) a
    b
1.  code

        x
- # heading
- setext
  ---
  bar
> a
> b
> a
b
> a
> > b
> c
>>> deep
> 

> a

> b
> - a
- b
> ~~~
a
~~~
> a
    lazy
> # h
> para
>- a
>- b
    code
    more

    last
    code

para
para
    not code
	tab code
  	two and tab
 - 	x
-	a

	b
-		code
>		code
~~~
plain
~~~
~~~js extra
let a = 1;
~~~
~~~~
~~~
~~~~
~~~
unclosed

more
~~~
~~~
a
~~~ x
~~~
  ~~~
  in
   dented
 ~~~
    ~~~
- ~~~
  a

  b
  ~~~
- b
> ~~~
> a
para
~~~
x
~~~
para
*a* _b_ **c** __d__ ***e*** ___f___
*a **b** c* **a *b* c**
a*b*c a_b_c a**b**c a__b__c
* a * ** b ** _ c _
*(*a*)* **(b)** _(c)_
"*a*" *"b"* a*"b"*
**a*b** *a**b* ***a** b* ***a* b**
*a_b*c_ **a *b
***a
*a **b*
a***
_a_b _a_. (_a_)
foo_bar_baz _foo_bar_baz_
*foo**bar**baz* **foo*bar*baz**
***foo***bar** ****foo****
*a ${"`"}*${"`"}
**a [b**](http://c.d)
*[a*](http://b.c)
${"`"}a${"`"} ${"``"}b ${"`"} c${"``"} ${"` `"} ${"`  x  `"}
${"`"}a ${"``"} b
${"`"}line
two${"`"}
${"```"} a${"`"} b ${"```"}
\*a\* \_ \# \[ \\ \a \é
a\
b
a  
b
a 
b
a\
# a\
&amp; &lt; &gt; &quot; &copy; &#123; &#x41; &#0; &nope; &amp &#xffffff; &#1234567890;
&ouml;&ouml; &#42;a&#42;
${"`"}&amp;${"`"}
~~~ a&amp;b\*
~~~
[a](http://b.c)
[a](http://b.c "title")
[a](http://b.c 'ti\'tle')
[a](http://b.c (title))
[a](  http://b.c  )
[a](<http://b.c/d e>)
[a](<http://b.c)
[a](http://b.c/(d))
[a](http://b.c/(d)
[a](http://b.c/\)d)
[a](http://b.c/&amp;d)
[a] (b)
[a](b c)
[a](http://b.c "x" y)
[a *b*](http://c.d) *[a](http://c.d)*
[a [b](http://c.d) e](http://f.g)
[a ![b](http://c.d) e](http://f.g)
![a *b*](http://c.d)
![a](http://c.d) ![](http://c.d)
[](http://c.d)
[a\]b](http://c.d)
[a${"`"}](http://c.d)${"`"}
[a](http://c.d
"title
two")
[[a]](http://c.d) [a](http://c.d)b
![[a](http://b.c)](http://d.e)
]a[ [ ] []
!a !\[a](http://b.c)
<http://a.b/c?d=e&f> <mailto:a@b.c> <a@b.cd>
<http://a.b/c d>
<HTTP://A.B>
\<a> < a> <1>
a < b > c
Hello, *world*!
中文 **粗体** 文字 *斜体*
Ünïcödé *ä* _ö_ ©
* *a*
+ **b**
1. *c*
a
  b
    c
	d
- a
b
- a

b
- a
> b
- a
~~~
b
~~~
1. a

   - b

     1. c

2. d
- a

  ~~~
  b

  c
  ~~~

- d
- a
  ~~~
  b

  c
  ~~~
- d
> 1. a
>    b
>
>    c
> 2. d
- > a
  > b
- c
-   a
    b

    c
  d
- a
   b
     c
1. a
  2. b
    3. c
- a


- b


- c
- foo

  notcode

-   foo

    code
* a
*

* c
- a
  - b

- c
- a
  # b
- c
# a
# b
a
# b
c
> a
# b
> a
***
> b
a

b


c`;

/** Each a text of its own: single lines, and runs of lines of the above. */
export function standard() {
  const lines = STANDARD.split("\n");
  const found = [...lines, STANDARD];
  for (const size of [2, 3, 4, 5, 7]) {
    for (let at = 0; at + size <= lines.length; at += 1) found.push(lines.slice(at, at + size).join("\n"));
  }
  return found;
}

/** What the standard has no word for, or what is done otherwise. */
export const OWN = [
  "| a | b |\n|---|:-:|\n| 1 | **2** |\n| 3 |\n| 4 | 5 | 6 |\n\nafter",
  "before\n| a |\n|---|\n| b |\n> quote",
  "- | a | b |\n  |--:|:--|\n  | `x \\| y` | z |\n- next",
  "- [ ] open\n- [x] done\n- [X] done **too**\n\n1. [x] numbered",
  "~~struck~~ ~not~ ~~~no~~~ a~~b~~c ~~**both**~~",
  "https://a.example/b. (https://a.example/c_(d)) https://a.example/中文。然后 **https://a.example**",
  "As [1] and [2][3] say, but [4](https://a.example/) is a link, and ![5] is not.",
  "<details><summary>**x**</summary>\n\n<b>text</b>\n</details>",
  "**中文。**文字 **「引用」**的 是**“重点”**吗 *斜体，*后",
  "```python\nprint('x')\n```\n\nText\n\n```\nnone\n```\n~~~mermaid\ngraph\n~~~",
  "1. First\n   ```sh\n   cargo run\n   ```\n2. Second\n   - a\n   - b\n\n     c\n3. Third",
  "a\r\nb\r\n\r\n- c\r\n- d\r\n",
  "para\n---\npara\n===\n- - a\n- - b\n  - c",
  "Ends with **bold and `code",
  "Ends with a [link](https://a.exam",
  "Ends with a table\n\n| a | b |\n|--",
  "Ends in code\n```rust\nfn main() {\n\n    x\n\n\n",
  "    indented\n\n\n    code\n\n\n",
  "👨‍👩‍👧 **👍** ~~🎉~~ `👩‍💻`\n\n| 😀 |\n|-|\n| 👍🏽 |",
];

/** What a model could be made to say by somebody who means harm. */
export const HOSTILE = [
  "<script>window.hurt=1</script>",
  "<img src=x onerror=window.hurt=1>",
  "<svg/onload=window.hurt=1><iframe srcdoc='<script>parent.hurt=1</script>'>",
  "[a](javascript:window.hurt=1) [b](JaVaScRiPt:window.hurt=1) [c](java&#115;cript:window.hurt=1)",
  "[a](<java\tscript:window.hurt=1>) [b](\u0001javascript:window.hurt=1) [c](java\\\nscript:x)",
  "[a](data:text/html,<script>window.hurt=1</script>) [b](vbscript:x) [c](file:///etc/passwd) [d](blob:x)",
  "<javascript:window.hurt=1> <data:text/html,x> javascript:window.hurt=1",
  "![x](javascript:window.hurt=1) ![x](data:image/svg+xml,<svg onload=1>) ![](https://evil.example/pixel.png)",
  "![a\" onerror=\"window.hurt=1](https://evil.example/\"onerror=\"window.hurt=1)",
  "[a](https://a.example \"onmouseover=window.hurt=1\") <https://a.example/\"onclick=window.hurt=1>",
  "```\"><script>window.hurt=1</script>\n</code></pre><script>window.hurt=1</script>\n```",
  "| <script>window.hurt=1</script> | [x](javascript:window.hurt=1) |\n|---|---|\n| <img src=x onerror=window.hurt=1> | ![x](x) |",
  "- [x] <input autofocus onfocus=window.hurt=1>\n1. <a href=javascript:window.hurt=1>x</a>",
  "[paypal.com](https://evil.example) https://paypal.com@evil.example [x](//evil.example) [y](/v1/me)",
  "[a](https://a.example/\u202egnp.exe) `\u202eevil\u2066` \u202etxt\n```\na\u200b=\u2066b\u0000\n```",
  "\u0000\u0001\u0008 \ud800 \udc00 a\ud83d \ude00b *\ud800* `\udfff` [\ud800](https://a.example/\ud800)",
  "&#0; &#xd800; &#x202e; &lt;script&gt; &#60;script&#62;window.hurt=1&#60;/script&#62;",
  "# <h1 id=main>\n<form action=https://evil.example><button>Send</button></form>\n<base href=https://evil.example>",
  "[__proto__](https://a.example) [constructor] [3](javascript:window.hurt=1) [999] [0] [3]: https://evil.example",
];

/** Texts that make a careless parser slow or deep, of about so many characters. */
export function heavy(length) {
  const of = (...pieces) => pieces.map((it) => it.repeat(Math.ceil(length / it.length)));
  return [
    ...of("[", "*", "**", "`", "> ", ">", "- ", "* ", "1. ", "#", "_", "~", "|", "!", "![", "](", "<", "&", "\\", "(", ")", "\n", " ", "\t"),
    ...of("*a ", "_a ", "a*", "*a_ ", "**a ", "*a **a ", "a**b", "c* ", "~~a ", "[a](", "[a](b", "[a](<b", '[a](b "', "[a](http://b.c) ", "![[]()", "[3]", "`a``b", "``` ", "<http://", "<a@", "http://", "http://a)", "&#1", "&amp", "&a", "\\`", "- a\n", "> a\n", "| a ", "|-", "a|b\n-|-\n", "| a |\n|---|\n", "*a* ", "\u202e", "中**。", "*\n", "-\n", "```\n", " \n", "  - a\n", "a\n=\n", "a\n\n"),
    Array.from({ length: Math.ceil(Math.sqrt(length)) }, (_, n) => `${" ".repeat(2 * n)}- a`).join("\n").slice(0, length),
    Array.from({ length: Math.ceil(Math.sqrt(length)) }, (_, n) => "`".repeat(n)).join(" ").slice(0, length),
    "*a **b ".repeat(length / 14) + "c** d* ".repeat(length / 14),
    "![".repeat(length / 20) + "a" + "](http://b.c/d)".repeat(length / 20),
    "[".repeat(length / 2) + "a" + "](http://b.c)".repeat(length / 24),
    `# ${" ".repeat(length)}x`,
    `${"`".repeat(length / 2)}x\`${"y".repeat(length / 2)}`,
    `${"a ".repeat(length / 2)}*`,
    `|${"a|".repeat(length / 4)}\n|${"-|".repeat(length / 4)}`,
    `[${"a.".repeat(length / 2)}](http://b.c)`,
    `http://a.b/${")".repeat(length)}`,
    `-${" ".repeat(length)}x\n${" ".repeat(length)}y`,
  ];
}
