//! What was found out about one thing, and how that is told. Pure.

use serde_json::{Value, json};

use crate::plain;
use crate::terminal::{Paint, Style};

/// Columns of the name of what was looked at.
const NAME: usize = 14;

/// How it is with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should be.
    Ok,
    /// Nothing is wrong; worth knowing.
    Note,
    /// It works, and something may come of it.
    Warn,
    /// It does not work.
    Fail,
    /// Nobody asked for it, so that it was not looked at.
    Off,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Off => "off",
        }
    }

    fn paint(self) -> Paint {
        match self {
            Self::Ok => Paint::Green,
            Self::Note => Paint::Cyan,
            Self::Warn => Paint::Yellow,
            Self::Fail => Paint::Red,
            Self::Off => Paint::Dim,
        }
    }
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) outcome: Outcome,
    /// What was found, in a sentence.
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Ok, detail: detail.into(), advice: None }
    }

    /// Not looked at, because nobody asked for it.
    pub(crate) fn off(check: &'static str, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Off, ..Self::ok(check, detail) }
    }

    pub(crate) fn note(
        check: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { outcome: Outcome::Note, advice: Some(advice.into()), ..Self::ok(check, detail) }
    }

    pub(crate) fn warn(
        check: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { outcome: Outcome::Warn, advice: Some(advice.into()), ..Self::ok(check, detail) }
    }

    pub(crate) fn fail(
        check: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { outcome: Outcome::Fail, advice: Some(advice.into()), ..Self::ok(check, detail) }
    }

    /// For people: a line, and another one with what to do.
    pub(crate) fn lines(&self, style: Style) -> String {
        let outcome = style.paint(self.outcome.paint(), &format!("{:<4}", self.outcome.name()));
        let first = format!("{outcome}  {:<NAME$}{}\n", self.check, plain::line(&self.detail));
        let advice = self.advice.as_deref().map(plain::line);
        let second = advice.map(|it| format!("{:6}→ {it}\n", "")).unwrap_or_default();
        first + &second
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let outcome = self.outcome.name();
        let mut told = json!({ "check": self.check, "outcome": outcome, "detail": self.detail });
        if let Some(advice) = &self.advice {
            told["advice"] = advice.as_str().into();
        }
        told
    }
}

/// How many there are of each kind, in words.
pub(crate) fn counted(findings: &[Finding]) -> String {
    let count = |outcome| findings.iter().filter(|it| it.outcome == outcome).count();
    let plural =
        |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!(
        "{} ok, {}, {}, {} failed",
        count(Outcome::Ok),
        plural(count(Outcome::Note), "note"),
        plural(count(Outcome::Warn), "warning"),
        count(Outcome::Fail)
    )
}

/// Whether something does not work.
pub(crate) fn has_failed(findings: &[Finding]) -> bool {
    findings.iter().any(|it| it.outcome == Outcome::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_with_what_to_do_below_it() {
        let fine = Finding::ok("disk", "12 GiB free");
        assert_eq!(fine.lines(Style::Plain), "ok    disk          12 GiB free\n");
        let bad = Finding::fail("disk", "full\u{1b}[2J", "make\nroom");
        let told = "fail  disk          full\\u{1b}[2J\n      → make\\nroom\n";
        assert_eq!(bad.lines(Style::Plain), told);
        assert!(bad.lines(Style::Drawn).starts_with("\u{1b}[31mfail\u{1b}[39m  disk"));
    }

    #[test]
    fn programs_get_what_people_get() {
        let told = Finding::warn("limits", "64 files", "raise it").json();
        let expected = json!({
            "check": "limits", "outcome": "warn", "detail": "64 files", "advice": "raise it",
        });
        assert_eq!(told, expected);
        assert!(Finding::ok("limits", "many").json().get("advice").is_none());
    }

    #[test]
    fn the_last_line_counts_what_was_looked_at() {
        let findings = [
            Finding::ok("a", ""),
            Finding::note("b", "", ""),
            Finding::off("c", ""),
            Finding::warn("d", "", ""),
            Finding::warn("e", "", ""),
        ];
        assert_eq!(counted(&findings), "1 ok, 1 note, 2 warnings, 0 failed");
        assert!(!has_failed(&findings) && has_failed(&[Finding::fail("f", "", "")]));
    }
}
