//! `weir sessions`: a user's sessions, what was said in them, and their titles.

mod export;
mod told;

use std::process::ExitCode;

use anyhow::bail;
use serde_json::Value;

use crate::client::{Client, Page, Problem};
use crate::flags::{
    Sessions, SessionsCommand, SessionsList, SessionsRename, SessionsSearch, SessionsShow,
};
use crate::{Ended, columns, output, plain, when};

pub(crate) use export::{document, write};

/// The most sessions that a gateway gives at once.
const PAGE: u16 = 100;
/// The widest a title may be beside other columns.
const TITLE: usize = 40;

pub(crate) async fn run(flags: Sessions) -> Ended {
    match flags.command {
        None => list(flags.list).await,
        Some(SessionsCommand::List(flags)) => list(flags).await,
        Some(SessionsCommand::Search(flags)) => search(flags).await,
        Some(SessionsCommand::Show(flags)) => show(flags).await,
        Some(SessionsCommand::Rename(flags)) => rename(flags).await,
        Some(SessionsCommand::Export(flags)) => export::run(flags).await,
    }
}

async fn list(flags: SessionsList) -> Ended {
    let client = Client::new(&flags.peer)?;
    let most = if flags.all { usize::MAX } else { usize::try_from(flags.limit)? };
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let wanted = u16::try_from(most - listed.len()).unwrap_or(PAGE).min(PAGE);
        let page: Page = client.sessions(cursor.as_deref(), wanted).await?;
        listed.extend(page.items);
        cursor = page.cursor;
        if cursor.is_none() || listed.len() >= most {
            break;
        }
    }
    print(&listed, flags.json, "there are no sessions")?;
    if cursor.is_some() && !flags.json {
        output::aside("there are more: --limit N, or --all");
    }
    Ok(ExitCode::SUCCESS)
}

async fn search(flags: SessionsSearch) -> Ended {
    let client = Client::new(&flags.peer)?;
    let words: Vec<_> = flags.words.iter().map(|it| it.to_lowercase()).collect();
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = client.sessions(cursor.as_deref(), PAGE).await?;
        found.extend(page.items.into_iter().filter(|it| has(it, &words)));
        cursor = page.cursor;
        if cursor.is_none() {
            print(&found, flags.json, "nothing was found")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Whether all the words are in what the list tells of a session.
fn has(session: &Value, words: &[String]) -> bool {
    let fields = ["title", "lastQuestion", "lastAnswer"].map(|it| session[it].as_str());
    let said = fields.map(Option::unwrap_or_default).join("\n").to_lowercase();
    words.iter().all(|it| said.contains(it))
}

fn print(sessions: &[Value], json: bool, none: &str) -> Result<(), output::Error> {
    if json {
        return sessions.iter().try_for_each(output::json);
    }
    if sessions.is_empty() {
        output::note(none);
        return Ok(());
    }
    let head = ["SESSION", "STATUS", "WHEN", "TITLE", "LAST QUESTION"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(sessions.iter().map(row)).collect();
    output::print(&columns::shown(&rows))
}

fn row(session: &Value) -> [String; 5] {
    let text = |name: &str| columns::line(session[name].as_str());
    let at = session["updatedAt"].as_str().or(session["createdAt"].as_str());
    [
        text("sessionId"),
        standing(session),
        at.map_or(columns::NOTHING.to_owned(), when::ago),
        columns::cut(&text("title"), TITLE),
        columns::line(session["lastQuestion"].as_str()),
    ]
}

/// How a session stands: what runs, else how the last turn ended.
fn standing(session: &Value) -> String {
    let status = session["status"].as_str().unwrap_or(columns::NOTHING);
    let ending = session["ending"].as_str().filter(|_| status == "idle");
    plain::line(ending.unwrap_or(status))
}

async fn show(flags: SessionsShow) -> Ended {
    let session = whole(&Client::new(&flags.peer)?, &flags.session).await?;
    if flags.json {
        output::json(&session)?;
    } else {
        output::print(&told::shown(&session))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn rename(flags: SessionsRename) -> Ended {
    let session = Client::new(&flags.peer)?.rename(&flags.session, &flags.title).await?;
    if flags.json {
        output::json(&session)?;
    } else {
        let title = session["title"].as_str().unwrap_or_default();
        let (id, title) = (plain::line(&flags.session), plain::line(title));
        output::line(&format!("session {id} is called {title}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A session with its turns, under the API's names.
async fn whole(client: &Client, id: &str) -> anyhow::Result<Value> {
    let mut session = client.session(id).await?;
    let turns = client.turns(id).await.map_err(anyhow::Error::from);
    let turns = match turns {
        Err(error) if Problem::of(&error).is_some_and(|it| it.code == "not_found") => None,
        turns => Some(turns?),
    };
    if turns.is_none() && session["status"] == "not_found" {
        bail!("there is no session {}", plain::line(id));
    }
    session["turns"] = turns.unwrap_or_default().into();
    Ok(session)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_is_a_line_that_nothing_in_it_breaks() {
        let session = json!({"sessionId": "a b", "status": "idle", "ending": "failed",
            "title": format!("\u{1b}]0;x\u{7}{}", "长".repeat(40)), "lastQuestion": "why\nnot",
            "updatedAt": "2020-01-02T03:04:05Z"});
        let row = row(&session);
        assert_eq!(row[..3], ["a b", "failed", "2020-01-02"]);
        assert!(row[3].starts_with("\\u{1b}]0;x\\u{7}长") && row[3].ends_with('…'), "{row:?}");
        assert_eq!(row[4], "why not");
        let waits = json!({"sessionId": "s", "status": "queued", "ending": "completed"});
        assert_eq!(super::row(&waits), ["s", "queued", "-", "-", "-"]);
    }

    #[test]
    fn all_words_are_looked_for_wherever_they_stand() {
        let session = json!({"title": "My Trip", "lastQuestion": "To Paris?"});
        let has = |words: &[&str]| {
            has(&session, &words.iter().map(|it| it.to_lowercase()).collect::<Vec<_>>())
        };
        assert!(has(&["trip"]) && has(&["PARIS", "my"]));
        assert!(!has(&["trip", "rome"]));
    }
}
