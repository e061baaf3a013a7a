//! A model's Markdown as a person sees it, and as somebody who means harm
//! would write it.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::model::{FakeModel, Script};

use super::{Page, stage};

/// One of each: what the page draws of it is checked below.
const RICH: &str = "# Title\n\nSome **bold** and [a link](https://example.org/a), \
                    [bank.example](https://evil.example/), ![alt](http://127.0.0.1:9/i.png).\n\n\
                    | left | right |\n|:-----|------:|\n| **1** | 2 |\n\n\
                    1. one\n   - inner\n     - innermost\n2. two\n\n- [x] done\n\n\
                    ```rust\nfn main() {\n    run();\n}\n```\n\nThe end.";

/// Texts that are true of the page once `RICH` is drawn, as expressions.
const DRAWN: [&str; 10] = [
    "answer.querySelector('h2').innerText === 'Title'",
    "answer.querySelector('p strong').innerText === 'bold'",
    "answer.querySelector('.table[tabindex=\"0\"] td.right').innerText === '2'",
    "getComputedStyle(answer.querySelector('th.right')).textAlign === 'right'",
    "answer.querySelector('ol > li > ul > li > ul > li').innerText === 'innermost'",
    "answer.querySelector('li [role=img]').getAttribute('aria-label') === 'Done'",
    "answer.querySelector('.code .language').innerText === 'rust'",
    "answer.querySelector('pre[tabindex=\"0\"] code').textContent === 'fn main() {\\n    run();\\n}'",
    "[...answer.querySelectorAll('a')].every(it => it.target === '_blank' && \
     it.rel === 'noopener noreferrer nofollow')",
    "[...answer.querySelectorAll('a')].map(it => it.innerText).join('|') === \
     'a link|bank.example (evil.example)|alt'",
];

#[tokio::test]
async fn markdown_is_drawn_as_people_know_it() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    said(&page, RICH, "The end.").await?;
    for drawn in DRAWN {
        let found = page.get(&format!("(answer => {drawn})({ANSWER})")).await?;
        ensure!(found == true, "{drawn}\n{}", page.get(&format!("{ANSWER}.innerHTML")).await?);
    }
    ensure!(page.get("document.querySelector('.answer img')").await?.is_null(), "an image");

    // What the button copies can be read where it is kept.
    let kept = "navigator.clipboard.writeText = async text => { window.kept = text }";
    page.browser.run(kept).await?;
    page.click(".answer .copy").await?;
    page.see("document.querySelector('.answer .copy').innerText === 'Copied'").await?;
    assert_eq!(page.get("window.kept").await?, "fn main() {\n    run();\n}");
    page.close().await
}

const ANSWER: &str = "document.querySelector('.answer')";

/// Has the model say this, and waits until it is drawn.
async fn said(page: &Page, text: &str, last: &str) -> Result<()> {
    let script = Script { text: Some(text.into()), ..Script::default() };
    page.ask(&script.question()).await?;
    page.says(0, last).await?;
    page.is_idle().await
}

/// What would run, load or lead astray if a text were ever markup.
const HOSTILE: &str = "<script>window.hurt=1</script>\n\n<img src=x onerror=window.hurt=2>\n\n\
    <svg/onload=window.hurt=3> <iframe srcdoc='<script>parent.hurt=4</script>'></iframe>\n\n\
    [a](javascript:window.hurt=5) [b](JaVa&#115;cript:window.hurt=6) [c](<java\tscript:window.hurt=7>)\n\n\
    [d](data:text/html,<script>hurt</script>) [e](vbscript:x) <javascript:window.hurt=8>\n\n\
    ![f](javascript:window.hurt=9) ![g\" onerror=\"window.hurt=10](http://127.0.0.1:9/x\"onerror=\"hurt)\n\n\
    [h](https://a.example \"onmouseover=window.hurt=11\") [i](//evil.example) [j](/v1/me)\n\n\
    ```\"><script>window.hurt=12</script>\n</code></pre><script>window.hurt=13</script>\n```\n\n\
    | <script>window.hurt=14</script> | [k](javascript:hurt) |\n|---|---|\n| <img src=x onerror=hurt> | x |\n\n\
    - [x] <input autofocus onfocus=window.hurt=15>\n\n# <h1 id=main>\n\n<base href=https://evil.example>\n\nharmless";

/// What must stand nowhere in what the model said.
const HARM: &str = "(answer => [window.hurt ?? 0, \
    answer.querySelectorAll('img, svg, script, iframe, input, form, base, object, embed, style, link').length, \
    [...answer.querySelectorAll('*')].filter(it => [...it.attributes].some(({ name }) => \
        name.startsWith('on') || ['id', 'style', 'src', 'srcset', 'name', 'title'].includes(name))).length, \
    [...answer.querySelectorAll('a')].filter(it => !['http:', 'https:', 'mailto:'].includes(it.protocol) || \
        it.origin === location.origin).length])";

#[tokio::test]
async fn hostile_markdown_never_becomes_markup() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    said(&page, HOSTILE, "harmless").await?;
    assert_eq!(page.get(&format!("{HARM}({ANSWER})")).await?, json!([0, 0, 0, 0]));
    // Every link pressed: none of them runs anything or leaves the page.
    page.browser
        .run(&format!(
            "for (const it of {ANSWER}.querySelectorAll('a')) {{ it.target = 'elsewhere'; }} \
             for (const it of {ANSWER}.querySelectorAll('*:not(a)')) it.click?.()"
        ))
        .await?;
    assert_eq!(page.get("window.hurt ?? 0").await?, 0);
    let problems = page.browser.problems().await?;
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    page.close().await
}

/// Draws what is heavy, a hundred kilobytes of each, growing and whole, and
/// tells the slowest.
const HEAVY: &str = "(async () => { \
    const base = document.querySelector('script[type=module]').src.replace(/[^/]*$/, ''); \
    const { show } = await import(base + 'markdown/show.js'); \
    const pieces = ['[', '*', '`', '> ', '- ', '![', '](', '<', '&', '*a **b ', '| a ', '[a](b', '\\ud800', \
        '\\u0000', '\\u202e', '<img src=x onerror=window.hurt=1>', '[x](javascript:window.hurt=1) ', '1. ', '#', '\\n- a']; \
    let slowest = ['', 0]; \
    for (const piece of pieces) { \
        const text = piece.repeat(100000 / piece.length); \
        const box = document.body.appendChild(document.createElement('div')); \
        const from = performance.now(); \
        for (const part of [1 / 3, 2 / 3, 1]) \
            show(box, text.slice(0, text.length * part), { link: () => null, generation: 0, growing: part < 1 }); \
        const took = performance.now() - from; \
        if (took > slowest[1]) slowest = [piece, took]; \
        window.text = box.textContent.length; \
        if (box.querySelector('img, script') || box.childNodes.length === 0) throw new Error(piece); \
        box.remove(); \
    } \
    window.drawn = slowest; \
})().catch(error => { window.drawn = String(error) })";

#[tokio::test]
async fn a_hundred_kilobytes_of_anything_are_drawn() -> Result<()> {
    let model = FakeModel::start().await?;
    let (_weir, page) = stage(&model).await?;
    page.browser.run(HEAVY).await?;
    page.see("window.drawn").await?;
    let drawn = page.get("window.drawn").await?;
    let took = drawn[1].as_f64();
    ensure!(drawn.is_array() && took.is_some_and(|it| it < 5000.0), "{drawn}");
    assert_eq!(page.get("window.hurt ?? 0").await?, 0);
    page.close().await
}
