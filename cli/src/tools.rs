//! `weir tools`: what the configured MCP servers offer, and the operator's word
//! on it.
//!
//! Connects to the servers itself; a running agent reads the pins by itself.
#![expect(clippy::print_stdout, reason = "a command-line client")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agent::mcp::{Listed, Offer, Pins, Reason, Server, Servers, State};
use anyhow::{Context as _, bail, ensure};
use process::Lifecycle;
use serde_json::json;

use crate::flags::{ToolsChosen, ToolsCommand, ToolsList};
use crate::{Ended, banner, plain};

/// How long the servers may take; some are fetched before they start.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long their processes may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// Characters of a description in the list.
const DESCRIPTION: usize = 100;

pub(crate) async fn run(command: ToolsCommand) -> Ended {
    // The library shows whole addresses, and what it says is said here as well.
    process::telemetry("error,rmcp=off");
    match command {
        ToolsCommand::List(flags) => list(flags).await,
        ToolsCommand::Pin(flags) => pin(flags).await,
    }
}

async fn list(flags: ToolsList) -> Ended {
    let (servers, pins) = chosen(&flags.chosen)?;
    let states = look(servers, pins).await?;
    for state in &states {
        if flags.json {
            state.tools.iter().for_each(|it| println!("{}", whole(state, it)));
        } else {
            print!("{}", lines(state));
        }
    }
    Ok(complaints(&states))
}

async fn pin(flags: ToolsChosen) -> Ended {
    let (servers, pins) = chosen(&flags)?;
    let path = pins.context("the configuration names no file for pins: set `pins`")?;
    // Without the old word, each tool is what it says.
    let states = look(servers, None).await?;
    let mut pins = Pins::read(&path)?;
    for state in states.iter().filter(|it| it.connected()) {
        println!("{}", pinned(state, &mut pins));
    }
    pins.write(&path)?;
    Ok(complaints(&states))
}

/// The servers to look at, and the file of pins.
fn chosen(flags: &ToolsChosen) -> anyhow::Result<(BTreeMap<String, Server>, Option<PathBuf>)> {
    let file: &Path = (flags.file.config.as_deref())
        .context("which servers there are is in the configuration: name it with --config FILE")?;
    let mut config = agent::Config::read(file)?;
    for name in &flags.servers {
        if !config.servers.contains_key(name) {
            let known: Vec<_> = config.servers.keys().map(String::as_str).collect();
            bail!("{} has no server {name:?}; it has {}", file.display(), known.join(", "));
        }
    }
    if !flags.servers.is_empty() {
        config.servers.retain(|name, _| flags.servers.contains(name));
    }
    ensure!(!config.servers.is_empty(), "{} has no MCP servers", file.display());
    Ok((config.servers, config.pins))
}

/// Connects to all, once, and says what there is.
async fn look(
    servers: BTreeMap<String, Server>,
    pins: Option<PathBuf>,
) -> anyhow::Result<Vec<State>> {
    let life = Lifecycle::new();
    let servers = Servers::start(servers, pins, life.clone());
    servers.ready(PATIENCE).await;
    let states = servers.states();
    life.drain();
    life.wait(GRACE).await?;
    Ok(states)
}

/// Says which servers did not answer.
fn complaints(states: &[State]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for state in states.iter().filter(|it| !it.connected()) {
        let reason = state.problem.as_deref().unwrap_or("it does not answer in time");
        banner::error(&anyhow::anyhow!("{}: {}", state.server, plain::line(reason)));
        code = ExitCode::FAILURE;
    }
    code
}

/// Gives the word for all that can be offered; says what is new about it.
fn pinned(state: &State, pins: &mut Pins) -> String {
    let taken = |it: &&Listed| it.offer == Offer::Offered;
    let tools: BTreeMap<_, _> = (state.tools.iter().filter(taken))
        .map(|it| (it.tool.clone(), it.fingerprint.clone()))
        .collect();
    let (mut new, mut changed) = (0, 0);
    for (tool, fingerprint) in &tools {
        match pins.get(&state.server, tool) {
            None => new += 1,
            Some(known) if known != fingerprint => changed += 1,
            Some(_) => {}
        }
    }
    let count = tools.len();
    pins.set(&state.server, tools);
    format!("{}: {count} tools pinned, {new} of them new and {changed} changed", state.server)
}

/// A server and its tools, one a line.
fn lines(state: &State) -> String {
    let Some(protocol) = &state.protocol else {
        return String::new();
    };
    let unpinned =
        |it: &Listed| matches!(it.offer, Offer::Withheld(Reason::NotPinned | Reason::Changed));
    let server = &state.server;
    let head = format!("{server} (MCP {})\n", plain::line(protocol));
    let hint = format!("  `weir tools pin --server {server}` gives your word for what you see\n");
    let hint = Some(hint).filter(|_| state.tools.iter().any(unpinned));
    std::iter::once(head).chain(state.tools.iter().map(row)).chain(hint).collect()
}

fn row(tool: &Listed) -> String {
    match &tool.offer {
        Offer::Offered => {
            let about = tool.description.lines().next().unwrap_or_default();
            let about = plain::line(&plain::shortened(about, DESCRIPTION));
            format!("  {}  {about}\n", tool.name)
        }
        Offer::Withheld(reason) => {
            format!("  {}  WITHHELD: {}\n", tool.name, plain::line(&reason.to_string()))
        }
    }
}

/// A tool with everything that the word is given for.
fn whole(state: &State, tool: &Listed) -> serde_json::Value {
    let withheld = match &tool.offer {
        Offer::Offered => None,
        Offer::Withheld(reason) => Some(reason.to_string()),
    };
    json!({
        "server": state.server,
        "tool": tool.tool,
        "name": tool.name,
        "description": tool.description,
        "schema": *tool.schema,
        "annotations": tool.annotations,
        "fingerprint": tool.fingerprint,
        "withheld": withheld,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn tool(name: &str, fingerprint: &str, offer: Offer) -> Listed {
        Listed {
            tool: name.to_owned(),
            name: format!("files__{name}"),
            description: "Reads.\u{1b}[2J\nMore.".to_owned(),
            schema: Arc::default(),
            annotations: serde_json::Value::Null,
            fingerprint: fingerprint.to_owned(),
            offer,
        }
    }

    fn state(tools: Vec<Listed>) -> State {
        let (server, protocol) = ("files".to_owned(), Some("2025-11-25".to_owned()));
        State { server, protocol, process: None, problem: None, tools }
    }

    #[test]
    fn a_list_names_what_is_withheld_and_the_command_that_helps() {
        let state = state(vec![
            tool("read", "1", Offer::Offered),
            tool("write", "2", Offer::Withheld(Reason::Changed)),
        ]);
        let told = lines(&state);
        assert!(told.contains("  files__read  Reads."), "{told}");
        assert!(!told.contains('\u{1b}') && !told.contains("More"), "{told}");
        assert!(told.contains("files__write  WITHHELD: its description"), "{told}");
        assert!(told.contains("`weir tools pin --server files`"), "{told}");
    }

    #[test]
    fn a_word_is_given_for_what_can_be_offered_and_taken_back_for_what_is_gone() {
        let mut pins = Pins::default();
        let old = ["read", "write", "gone"].map(|it| (it.to_owned(), "1".to_owned()));
        pins.set("files", BTreeMap::from(old));
        let broken = Offer::Withheld(Reason::Unusable("no schema".to_owned()));
        let told = pinned(
            &state(vec![
                tool("read", "1", Offer::Offered),
                tool("write", "2", Offer::Offered),
                tool("fresh", "3", Offer::Offered),
                tool("broken", "4", broken),
            ]),
            &mut pins,
        );
        assert_eq!(told, "files: 3 tools pinned, 1 of them new and 1 changed");
        for (tool, print) in
            [("read", Some("1")), ("write", Some("2")), ("gone", None), ("broken", None)]
        {
            assert_eq!(pins.get("files", tool), print, "{tool}");
        }
    }
}
