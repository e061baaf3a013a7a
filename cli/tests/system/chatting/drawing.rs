//! What the terminal shows: Markdown as it is meant, nothing of a stranger's
//! commands, and the same on narrow, plain and dumb terminals.

use anyhow::Result;
use serde_json::json;
use testkit::model::Script;
use testkit::terminal::keys;

use super::{Desk, SESSION, SIZE, prompted, says};
use crate::tools::call;

/// The question, with everything beyond ASCII written as an escape: an editor
/// takes no control characters.
fn typed(script: &Script) -> String {
    let escaped = |it: char| {
        if it.is_ascii() { it.to_string() } else { format!("\\u{:04x}", u32::from(it)) }
    };
    script.question().chars().map(escaped).collect()
}

/// What a terminal must not be told by a stranger.
fn has_escape(raw: &[u8], escape: &str) -> bool {
    raw.windows(escape.len()).any(|it| it == escape.as_bytes())
}

#[tokio::test]
async fn an_answer_is_drawn_as_it_is_meant_and_one_can_come_back() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    assert!(terminal.seen().has("session s · mine/script · http://127.0.0.1"));
    let text = "## Plan\n\nA **fat** word and `code`.\n\n- one\n- two\n\n| name | n |\n|---|--:|\n\
                | a | 7 |\n\n```sh\nls -l\n```\nDone *now* said.\n";
    terminal.enter(&says(text).question())?;
    terminal.wait_text("Done now said.").await?;
    prompted(&terminal).await?;
    let seen = terminal.seen();
    for shown in ["A fat word and code.", "• one", "name │ n", "a    │ 7", "  ls -l"] {
        assert!(seen.has(shown), "{shown}: {seen:?}");
    }
    let answer = seen.text();
    let answer = answer.split("Plan").last().expect("a part");
    assert!(!answer.contains("**") && !answer.contains('`') && !answer.contains("|--"), "{answer}");
    assert!(seen.is_bold("fat word") && !seen.is_bold("word and"), "{seen:?}");
    assert!(seen.is_coloured("code."), "{seen:?}");
    terminal.press(keys::CTRL_D)?;
    assert_eq!(terminal.exit().await?, 0);
    assert!(terminal.seen().has("come back: weir chat --session s"), "{terminal:?}");

    let again = desk.chat(&["--continue"], SIZE).await?;
    assert!(again.seen().has("session s ·") && again.seen().has("A fat word"), "{again:?}");
    again.enter("/quit")?;
    assert_eq!(again.exit().await?, 0);
    Ok(())
}

#[tokio::test]
async fn without_colours_nothing_is_drawn_and_a_dumb_terminal_gets_no_escape_at_all() -> Result<()>
{
    let desk = Desk::start().await?;
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let terminal = desk.chat_with(&["--session", name], SIZE, &[(name, value)]).await?;
        terminal.enter(&says("A **fat** word.").question())?;
        terminal
            .wait_for("the answer", |it| it.rows().iter().any(|it| it == "A **fat** word."))
            .await?;
        prompted(&terminal).await?;
        terminal.press(keys::CTRL_D)?;
        assert_eq!(terminal.exit().await?, 0);
        let seen = terminal.seen();
        let raw = String::from_utf8_lossy(seen.raw());
        let colours = raw.split("\u{1b}[").skip(1).any(|it| {
            it.trim_start_matches(|it: char| it.is_ascii_digit() || it == ';').starts_with('m')
        });
        assert!(!colours, "{name}: {raw:?}");
        assert!(name != "TERM" || !raw.contains('\u{1b}'), "{raw:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hostile_answer_leaves_the_screen_sane() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let text = "one \u{1b}]52;c;aGk=\u{7} \u{1b}[2J\u{1b}[H \u{9b}31m two\r \u{1b}]0;title\u{7} \
                &#27;[2J [x](http://a/\u{1b}]8;;) \u{202e}gnp.exe \u{8}\u{8}\u{8} three\n\n\
                ```\n\u{1b}[?1049h code\n```\nlast words.";
    let script = Script { reasoning: Some("\u{1b}[31mthought".to_owned()), ..says(text) };
    terminal.enter(&typed(&script))?;
    terminal.wait_text("last words.").await?;
    prompted(&terminal).await?;
    let seen = terminal.seen();
    assert!(seen.has("session s ·"), "the screen was not cleared: {seen:?}");
    for shown in ["\\u{1b}]52;c;aGk=", "\\u{9b}31m", "\\u{202e}gnp.exe", "\\u{1b}[31mthought"] {
        assert!(seen.has(shown), "{shown}: {seen:?}");
    }
    for escape in ["\u{1b}]", "\u{1b}[2J", "\u{1b}[H", "\u{1b}[?1049h", "\u{202e}", "\u{8}\u{8}"] {
        assert!(!has_escape(seen.raw(), escape), "{escape:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_narrow_terminal_shows_chinese_and_pasted_lines_whole() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], (60, 40)).await?;
    let text = "中文的一句话，它比这个终端的宽度要长得多，所以必须在合适的地方换行。";
    terminal.paste(&says(text).question())?;
    terminal.press(keys::ENTER)?;
    terminal.wait_text("换行。").await?;
    prompted(&terminal).await?;
    let rows = terminal.seen().rows();
    let from = rows.iter().rposition(|it| it.starts_with("中文的一句话")).expect("the answer");
    let answer: String = rows[from..rows.len() - 1].concat();
    assert_eq!(answer.trim(), text, "{rows:?}");
    assert!(rows[from..].iter().all(|it| !it.starts_with('，')), "{rows:?}");

    assert!(terminal.seen().takes_paste());
    terminal.paste("first line\nsecond line")?;
    terminal.wait_text("second line").await?;
    terminal.press(keys::ENTER)?;
    terminal.wait_text("second line (user message 2)").await?;
    prompted(&terminal).await?;
    terminal.press(&format!("third{}fourth\\{}fifth", keys::ALT_ENTER, keys::ENTER))?;
    terminal.wait_text("fifth").await?;
    terminal.press(keys::ENTER)?;
    terminal.wait_text("fifth (user message 3)").await?;
    let last = desk.around.model.calls().pop().expect("a call").body.to_string();
    assert!(last.contains(r"first line\nsecond line"), "{last}");
    assert!(last.contains(r"third\nfourth\nfifth"), "{last}");
    Ok(())
}

#[tokio::test]
async fn tools_reasoning_and_the_queue_are_told() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let script = Script {
        reasoning: Some("Let me look. And more.".to_owned()),
        tool_calls: vec![
            call("a", "t__read", &json!({ "key": "k\u{1b}" })),
            call("b", "t__big", &json!({ "bytes": 3000 })),
        ],
        then: vec![says("Found.")],
        ..Script::default()
    };
    terminal.enter(&script.question())?;
    terminal.wait_text("Found.").await?;
    prompted(&terminal).await?;
    let seen = terminal.seen();
    for shown in ["∴ Let me look. And more.", "● t__read {\"key\":", "the value of k", "xxx…"]
    {
        assert!(seen.has(shown), "{shown}: {seen:?}");
    }

    // Another device asks first; its answer is held.
    let held = Script { tokens: Some(2), hold_after: Some(1), ..Script::default() }.question();
    desk.client()?.submit(SESSION, &held).await?;
    desk.around.model.wait_for_calls(3).await?;
    terminal.enter("after that")?;
    terminal.wait_text("waiting: 1 question before it").await?;
    desk.around.model.release();
    terminal.wait_text("after that (user message").await?;
    prompted(&terminal).await?;
    assert!(!terminal.seen().has("waiting: 1"), "{terminal:?}");
    Ok(())
}
