//! `weir memory`: what is remembered about a user, for him to see, to add to and
//! to take back.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::flags::{MemoryAdd, MemoryCommand, MemoryForget, MemoryList};
use crate::input::{self, STDIN};
use crate::{Ended, banner, columns, output, plain, when};

/// How many are shown unless all are asked for, and how many come at once then.
const SOME: u16 = 20;
const PAGE: u16 = 100;

pub(crate) async fn run(command: MemoryCommand) -> Ended {
    match command {
        MemoryCommand::List(flags) => list(flags).await,
        MemoryCommand::Add(flags) => add(flags).await,
        MemoryCommand::Forget(flags) => forget(flags).await,
    }
}

async fn list(flags: MemoryList) -> Ended {
    let client = Client::new(&flags.peer)?;
    let (limit, query) = (if flags.all { PAGE } else { SOME }, flags.query.as_deref());
    let mut page = client.memories(query, None, limit).await?;
    let mut listed = page.items;
    while let Some(cursor) = page.cursor.take().filter(|_| flags.all) {
        page = client.memories(None, Some(&cursor), limit).await?;
        listed.append(&mut page.items);
    }
    if flags.json {
        listed.iter().try_for_each(output::json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if listed.is_empty() {
        output::note(if query.is_some() { "nothing was found" } else { "nothing is remembered" });
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&table(&listed))?;
    if query.is_none() && !flags.all && listed.len() == usize::from(SOME) {
        output::aside("there may be more: --all");
    }
    Ok(ExitCode::SUCCESS)
}

fn table(memories: &[Value]) -> String {
    let head = ["MEMORY", "WHEN", "BY", "TEXT"].map(str::to_owned);
    let rows = memories.iter().map(|it| {
        let text = |name: &str| columns::line(it[name].as_str());
        let at = it["at"].as_str().map_or(columns::NOTHING.to_owned(), when::ago);
        [text("id"), at, text("source"), text("text")]
    });
    columns::shown(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

async fn add(flags: MemoryAdd) -> Ended {
    let text = match flags.text.as_str() {
        STDIN => input::stdin("what to remember")?,
        _ => flags.text,
    };
    ensure!(!text.trim().is_empty(), "there is nothing to remember");
    let memory = Client::new(&flags.peer)?.remember(text.trim_end()).await?;
    if flags.json {
        output::json(&memory)?;
    } else {
        let id = memory["id"].as_str().unwrap_or_default();
        output::line(&format!("remembered as {}", plain::line(id)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes on behind one that is refused.
async fn forget(flags: MemoryForget) -> Ended {
    let client = Client::new(&flags.peer)?;
    let mut code = ExitCode::SUCCESS;
    for id in &flags.memories {
        match client.forget(id).await.with_context(|| id.clone()) {
            Ok(()) if flags.json => output::json(&json!({ "id": id, "forgotten": true }))?,
            Ok(()) => output::line(&format!("{} is forgotten", plain::line(id)))?,
            Err(error) => {
                banner::error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_is_a_line_that_nothing_in_it_breaks() {
        let memories = [json!({"id": "m", "text": "tea\n\u{1b}[2J", "at": "2020-01-02T03:04:05Z",
            "source": "agent"})];
        let expected =
            "MEMORY  WHEN        BY     TEXT\nm       2020-01-02  agent  tea \\u{1b}[2J\n";
        assert_eq!(table(&memories), expected);
    }
}
