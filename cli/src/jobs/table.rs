//! What `weir jobs` prints. Pure; everything in it is plain text.

use serde_json::Value;

use super::letters::{Done, Letter};
use crate::columns::aligned;
use crate::plain;

/// The widest a column may be, but for the first, which is typed, and the last.
const WIDEST: usize = 28;

/// All letters, one a line, and what can be done with them.
pub(super) fn list(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "no job was given up\n".to_owned();
    }
    let head = ["JOB", "USER", "SESSION", "CODE", "WHEN", "AGE", "REASON"].map(str::to_owned);
    let rows = letters.iter().map(|it| {
        let narrow = |text: &str| plain::line(&plain::shortened(text, WIDEST));
        [
            plain::line(name(it)),
            narrow(&it.user),
            narrow(&it.session),
            narrow(&it.code),
            plain::line(it.buried.get(..19).unwrap_or(&it.buried)).replace('T', " "),
            age(it.age),
            plain::line(&it.reason),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let footer = format!(
        "\n{} given up; times are UTC. `weir jobs show JOB` shows one whole, `retry JOB` puts it \
         back as a new turn, `drop JOB` forgets it\n",
        letters.len()
    );
    aligned(&rows) + &footer
}

/// What the commands call it: by its turn, which is enough, or by its key.
fn name(letter: &Letter) -> &str {
    letter.turn.as_ref().unwrap_or(&letter.key)
}

/// One letter, whole.
pub(super) fn show(letter: &Letter, content: &Value) -> String {
    let job = &content["job"];
    let mut rows = vec![
        ["key", &letter.key].map(plain::line),
        ["user", &letter.user].map(plain::line),
        ["session", &letter.session].map(plain::line),
    ];
    let mut row = |name: &str, text: &str| {
        if !text.is_empty() {
            rows.push([name.to_owned(), plain::line(text)]);
        }
    };
    row("turn", letter.turn.as_deref().unwrap_or_default());
    row("code", &letter.code);
    row("reason", content["reason"].as_str().unwrap_or(&letter.reason));
    row("given up", &format!("{} ({} ago)", letter.buried, age(letter.age)));
    row("submitted", job["submitted"].as_str().unwrap_or_default());
    row("model", job["model"].as_str().unwrap_or_default());
    row("system", job["system"].as_str().unwrap_or_default());
    row("resumes", job["resume"]["turnId"].as_str().unwrap_or_default());
    for (name, value) in job["metadata"].as_object().into_iter().flatten() {
        row(&format!("metadata {}", plain::line(name)), value.as_str().unwrap_or_default());
    }
    row("payload", content["payload"].as_str().unwrap_or_default());
    let mut shown = aligned(&rows);
    for message in job["messages"].as_array().into_iter().flatten() {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        let (role, content) = (plain::line(text("role")), plain::lines(text("content")));
        shown.extend(["\n", &role, ":\n", &content, "\n"]);
    }
    shown
}

/// What became of a letter.
pub(super) fn done(done: &Done) -> String {
    let key = plain::line(&done.key);
    match (&done.turn, done.repeated) {
        (None, _) => format!("{key} is forgotten"),
        (Some(turn), false) => format!("{key} is put back as turn {}", plain::line(turn)),
        (Some(turn), true) => {
            format!("{key} had been put back as turn {}; now it is forgotten", plain::line(turn))
        }
    }
}

/// The largest unit that is not zero.
fn age(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= length {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(user: &str, turn: Option<&str>, reason: &str) -> Letter {
        Letter {
            key: format!("{user}.s.1"),
            user: user.to_owned(),
            session: "s".to_owned(),
            turn: turn.map(str::to_owned),
            code: "attempts_exhausted".to_owned(),
            reason: reason.to_owned(),
            buried: "2026-11-21T03:46:16.5Z".to_owned(),
            age: 7_300,
        }
    }

    #[test]
    fn letters_are_aligned_and_inert() {
        let letters =
            [letter("用户", Some("t-1"), "no \u{1b}[2Jprogress"), letter("b", None, "bytes")];
        let text = list(&letters);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "JOB    USER  SESSION  CODE                WHEN                 AGE  REASON"
        );
        assert_eq!(
            lines[1],
            r"t-1    用户  s        attempts_exhausted  2026-11-21 03:46:16  2h   no \u{1b}[2Jprogress"
        );
        assert!(lines[2].starts_with("b.s.1  b     s "), "{text}");
        assert_eq!(list(&[]), "no job was given up\n");
    }

    #[test]
    fn a_whole_letter_shows_its_question_line_by_line_and_inert() {
        let content = serde_json::json!({
            "job": { "messages": [{ "role": "user", "content": "one\ntwo\u{1b}]0;x\u{7}" }],
                     "metadata": { "a\u{1b}": "b" } },
            "reason": "why\u{9b}",
        });
        let text = show(&letter("ann", Some("t"), "short"), &content);
        assert!(text.ends_with("\nuser:\none\ntwo\\u{1b}]0;x\\u{7}\n"), "{text}");
        assert!(text.contains("reason") && text.contains("why\\u{9b}"), "{text}");
        assert!(!text.contains(char::from(27)), "{text}");
    }

    #[test]
    fn an_age_has_one_unit() {
        let ages = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 1_000_000].map(age);
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "11d"]);
    }
}
