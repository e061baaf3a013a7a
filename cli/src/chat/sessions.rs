//! Sessions from inside of one: a list, and going on with another.

use anyhow::bail;
use serde_json::Value;

use super::answer::{field, short};
use super::asking::due;
use super::{Conversation, Next};
use crate::client::Page;
use crate::terminal::Paint;
use crate::{plain, when};

/// How many sessions are listed, and how many turns are told of one.
pub(super) const LISTED: u16 = 20;
const TOLD: usize = 3;
/// The most of a title, of a tool's arguments and of its result.
const TITLE: usize = 60;
const TOOL: usize = 120;

impl Conversation {
    /// Lists the user's sessions with numbers.
    pub(super) async fn list_sessions(&mut self) -> anyhow::Result<()> {
        let client = self.client.clone();
        let Some(page) = self.sending(client.sessions(None, LISTED)).await? else { return Ok(()) };
        self.knows_sessions(&page);
        if page.items.is_empty() {
            return Ok(self.screen.note(Paint::Dim, "there are no sessions yet")?);
        }
        for (at, session) in page.items.iter().enumerate() {
            let here = if session["sessionId"] == *self.session { "*" } else { " " };
            let line = format!("{here}{:>3}  {}", at + 1, listed(session));
            self.screen.note(Paint::Dim, &line)?;
        }
        let more = if page.cursor.is_some() { "; older ones: weir sessions" } else { "" };
        Ok(self.screen.note(Paint::Dim, &format!("[/resume N goes on with one{more}]"))?)
    }

    /// Remembers what a list names.
    pub(super) fn knows_sessions(&mut self, page: &Page) {
        let id = |it: &Value| it["sessionId"].as_str().unwrap_or_default().to_owned();
        self.sessions = page.items.iter().map(id).collect();
        self.editor.knows(Some(self.sessions.clone()), None);
    }

    /// Goes on with another session: its last turns, and what is due in it.
    pub(super) async fn resume(&mut self, which: &str) -> anyhow::Result<Next> {
        let number = which.parse::<usize>().ok().and_then(|it| it.checked_sub(1));
        // What is no number of the list may be an id.
        let session = number.and_then(|it| self.sessions.get(it)).cloned();
        let session = session.unwrap_or_else(|| which.to_owned());
        let client = self.client.clone();
        let Some(told) = self.sending(client.session(&session)).await? else {
            return Ok(Next::Prompt);
        };
        if told["status"] == "not_found" {
            bail!("you have no session {}; see /sessions", plain::line(&session));
        }
        self.session = session;
        (self.unsent, self.asked) = (None, true);
        self.tell_last_turns(&told).await?;
        let due = due(&self.client, &self.session, &told);
        self.go_on(due).await
    }

    /// The end of what was said in the session.
    pub(super) async fn tell_last_turns(&mut self, told: &Value) -> anyhow::Result<()> {
        let (client, session) = (self.client.clone(), self.session.clone());
        let Some(turns) = self.sending(client.turns(&session)).await? else { return Ok(()) };
        let title = if field(told, "title").is_empty() { session } else { field(told, "title") };
        let earlier = turns.len().saturating_sub(TOLD);
        let before =
            if earlier > 0 { format!(", {earlier} turns before these") } else { String::new() };
        self.screen.note(Paint::Dim, &format!("[{}{before}]", plain::shortened(&title, TITLE)))?;
        for turn in &turns[earlier..] {
            self.tell(turn)?;
        }
        Ok(())
    }

    fn tell(&mut self, turn: &Value) -> anyhow::Result<()> {
        // What it has said comes again, live.
        let lives = turn["status"] == "running" || turn["status"] == "queued";
        for message in turn["messages"].as_array().into_iter().flatten() {
            let content = message["content"].as_str().unwrap_or_default();
            match message["role"].as_str().unwrap_or_default() {
                "user" => {
                    self.screen.space();
                    let said = plain::lines(content.trim_end());
                    let said: Vec<_> = said.lines().map(|it| format!("> {it}")).collect();
                    self.screen.note(Paint::Green, &said.join("\n"))?;
                }
                _ if lives => {}
                "assistant" => self.tell_answer(message, content)?,
                _ => {
                    let line = format!("  └ {}", short(message, "content", TOOL));
                    self.screen.note(Paint::Dim, &line)?;
                }
            }
        }
        let status = field(turn, "status");
        if !lives && status != "completed" {
            self.screen.note(Paint::Yellow, &format!("[{status}]"))?;
        }
        Ok(())
    }

    fn tell_answer(&mut self, message: &Value, content: &str) -> anyhow::Result<()> {
        if !content.is_empty() {
            self.screen.space();
            self.screen.text(content)?;
            self.screen.end_text()?;
        }
        for call in message["toolCalls"].as_array().into_iter().flatten() {
            let line = format!("● {} {}", field(call, "name"), short(call, "arguments", TOOL));
            self.screen.note(Paint::Cyan, &line)?;
        }
        Ok(())
    }
}

/// A session on one line.
fn listed(session: &Value) -> String {
    let title =
        [field(session, "title"), field(session, "lastQuestion"), field(session, "sessionId")];
    let title = title.into_iter().find(|it| !it.is_empty()).unwrap_or_default();
    let at = session["updatedAt"].as_str().or(session["createdAt"].as_str());
    let at = at.map(|it| format!(" · {}", when::ago(it))).unwrap_or_default();
    let status = match session["status"].as_str() {
        Some("interrupted") => " · waits for you".to_owned(),
        Some("idle") | None => String::new(),
        Some(other) => format!(" · {}", plain::line(other)),
    };
    format!("{}{at}{status}", plain::shortened(&title, TITLE))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_is_listed_by_what_tells_most_of_it() {
        for (session, expected) in [
            (
                json!({"sessionId": "s", "title": "Trip\u{1b}", "status": "idle",
                    "updatedAt": "2020-01-02T03:04:05Z"}),
                "Trip\\u{1b} · 2020-01-02",
            ),
            (json!({"sessionId": "s", "status": "interrupted"}), "s · waits for you"),
            (json!({"sessionId": "s", "lastQuestion": "why", "status": "queued"}), "why · queued"),
        ] {
            assert_eq!(listed(&session), expected);
        }
    }
}
