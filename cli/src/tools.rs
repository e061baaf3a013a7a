//! `weir tools`: what the configured MCP servers offer, and the operator's word
//! on it.
//!
//! Connects to the servers itself; a running agent reads the pins by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agent::mcp::{Effect, Listed, Offer, Pins, Reason, Server, Servers, State};
use anyhow::{Context as _, bail, ensure};
use process::Lifecycle;
use serde_json::json;

use crate::flags::{ToolsChosen, ToolsCommand, ToolsList, ToolsPin};
use crate::{Ended, banner, output, plain};

/// How long the servers may take; some are fetched before they start.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long their processes may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes of a description that are shown: a model sees no more of it.
const DESCRIPTION: usize = 4 * 1024;
/// Bytes of annotations that are shown.
const ANNOTATIONS: usize = 1024;

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
            state.tools.iter().try_for_each(|it| output::json(&whole(state, it)))?;
        } else {
            output::print(&lines(state, flags.chosen.file.config.as_deref()))?;
        }
    }
    Ok(complaints(&states))
}

async fn pin(flags: ToolsPin) -> Ended {
    let (servers, pins) = chosen(&flags.chosen)?;
    let path = pins.context("the configuration names no file for pins: set `pins`")?;
    // Without the old word, each tool is what it says.
    let states = look(servers, None).await?;
    let mut pins = Pins::read(&path)?;
    let mut left = 0;
    for state in states.iter().filter(|it| it.connected()) {
        let pinned = pinned(state, flags.yes, &mut pins);
        output::print(&pinned.told)?;
        left += pinned.left;
    }
    pins.write(&path)?;
    let code = complaints(&states);
    if left > 0 {
        bail!("{left} new or changed tools are not pinned; once you have read them, add --yes");
    }
    Ok(code)
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

/// What became of a server's tools.
struct Pinned {
    /// In words, with all that is new or changed.
    told: String,
    /// New or changed tools that have no word.
    left: usize,
}

/// Gives the word for what can be offered: for all with a yes, else for what
/// has it already.
fn pinned(state: &State, yes: bool, pins: &mut Pins) -> Pinned {
    let taken = |it: &&Listed| it.offer == Offer::Offered;
    let unusable = |it: &&Listed| matches!(it.offer, Offer::Withheld(Reason::Unusable(_)));
    let (mut new, mut changed) = (0, 0);
    let mut tools = BTreeMap::new();
    let mut told = Vec::new();
    for tool in state.tools.iter().filter(taken) {
        let known = pins.get(&state.server, &tool.tool);
        let what = match known {
            Some(known) if *known == tool.fingerprint => None,
            Some(_) => {
                changed += 1;
                Some("CHANGED")
            }
            None => {
                new += 1;
                Some("NEW")
            }
        };
        if let Some(what) = what {
            told.push(format!("  {}  {what}\n{}", tool.name, about(tool)));
        }
        let word = if yes { Some(tool.fingerprint.as_str()) } else { known };
        tools.extend(word.map(|it| (tool.tool.clone(), it.to_owned())));
    }
    let left = if yes { 0 } else { new + changed };
    let count = tools.len() - if yes { 0 } else { changed };
    let how = if yes { "of them" } else { "tools not pinned:" };
    pins.set(&state.server, tools);
    let server = &state.server;
    told.extend(state.tools.iter().filter(unusable).map(row));
    told.push(format!("{server}: {count} tools pinned, {how} {new} new and {changed} changed\n"));
    Pinned { told: told.concat(), left }
}

/// A server and its tools.
fn lines(state: &State, config: Option<&Path>) -> String {
    let Some(protocol) = &state.protocol else {
        return String::new();
    };
    let unpinned =
        |it: &Listed| matches!(it.offer, Offer::Withheld(Reason::NotPinned | Reason::Changed));
    let server = &state.server;
    let head = format!("{server} (MCP {})\n", plain::line(protocol));
    let config = config.map(|it| format!(" --config {}", quoted(it))).unwrap_or_default();
    let hint = format!(
        "  `weir tools pin --server {server}{config}` shows what is new or changed; with `--yes` it \
         gives your word for it\n"
    );
    let hint = Some(hint).filter(|_| state.tools.iter().any(unpinned));
    std::iter::once(head).chain(state.tools.iter().map(row)).chain(hint).collect()
}

/// A path as a shell wants it.
fn quoted(path: &Path) -> String {
    let path = plain::line(&path.display().to_string());
    let simple = |it: char| it.is_ascii_alphanumeric() || "/._-".contains(it);
    if path.chars().all(simple) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

fn row(tool: &Listed) -> String {
    let offer = match &tool.offer {
        Offer::Offered => String::new(),
        Offer::Withheld(reason) => format!("  WITHHELD: {}", plain::line(&reason.to_string())),
    };
    format!("  {}{offer}\n{}", tool.name, about(tool))
}

/// What a tool says of itself, each line marked as a stranger's.
fn about(tool: &Listed) -> String {
    let mut about = vec![format!("      {}\n", effect(tool.effect).1)];
    if !tool.annotations.is_null() {
        let annotations = cut(&tool.annotations.to_string(), ANNOTATIONS);
        about.push(format!("      annotations: {}\n", plain::line(&annotations)));
    }
    let description = plain::lines(&cut(&tool.description, DESCRIPTION));
    about.extend(description.lines().map(|it| format!("      | {it}\n")));
    about.concat()
}

/// At most so many bytes of a text; more is shown by a word.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let (start, rest) = text.split_at(text.floor_char_boundary(bytes));
    format!("{start}… ({} bytes left out)", rest.len())
}

/// What a call does, as a name and in words.
fn effect(effect: Effect) -> (&'static str, &'static str) {
    match effect {
        Effect::Reads => ("reads", "a call only reads"),
        Effect::Repeatable => ("repeatable", "a call may be repeated"),
        Effect::Once => ("once", "a call may change something and must not happen twice"),
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
        "effect": effect(tool.effect).0,
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
            annotations: json!({"readOnlyHint": true}),
            effect: Effect::Once,
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
        let told = lines(&state, None);
        assert!(told.contains("  files__read\n      a call may change"), "{told}");
        assert!(told.contains("files__write  WITHHELD: its description"), "{told}");
        assert!(told.contains("have changed\n"), "{told}");
        // All that it says of itself, of the withheld one as well.
        let about =
            "      annotations: {\"readOnlyHint\":true}\n      | Reads.\\u{1b}[2J\n      | More.\n";
        assert_eq!(told.matches(about).count(), 2, "{told}");
        assert!(!told.contains('\u{1b}'), "{told}");
        assert!(told.contains("`weir tools pin --server files` shows"), "{told}");
        let told = lines(&state, Some(Path::new("my agent.toml")));
        assert!(told.contains("--server files --config 'my agent.toml'` shows"), "{told}");
    }

    #[test]
    fn a_long_description_is_shown_as_far_as_a_model_sees_it() {
        let mut long = tool("read", "1", Offer::Offered);
        long.description = "x".repeat(DESCRIPTION) + "yz";
        let told = row(&long);
        assert!(told.contains("x… (2 bytes left out)") && !told.contains('z'), "{told}");
    }

    #[test]
    fn json_has_all_that_the_word_is_given_for() {
        let state = state(vec![tool("write", "2", Offer::Withheld(Reason::Changed))]);
        let whole = whole(&state, &state.tools[0]);
        assert_eq!(whole["description"], state.tools[0].description);
        assert_eq!((&whole["effect"], &whole["fingerprint"]), (&json!("once"), &json!("2")));
        assert!(whole["withheld"].as_str().unwrap().contains("changed"));
    }

    #[test]
    fn a_word_is_given_for_what_can_be_offered_and_taken_back_for_what_is_gone() {
        let mut pins = Pins::default();
        let old = ["read", "write", "gone"].map(|it| (it.to_owned(), "1".to_owned()));
        pins.set("files", BTreeMap::from(old));
        let broken = Offer::Withheld(Reason::Unusable("no schema".to_owned()));
        let state = state(vec![
            tool("read", "1", Offer::Offered),
            tool("write", "2", Offer::Offered),
            tool("fresh", "3", Offer::Offered),
            tool("broken", "4", broken),
        ]);
        // Without a yes, nothing that was not read before.
        let Pinned { told, left } = pinned(&state, false, &mut pins);
        assert!(told.ends_with("files: 1 tools pinned, tools not pinned: 1 new and 1 changed\n"));
        assert!(told.contains("files__write  CHANGED\n") && told.contains("files__fresh  NEW\n"));
        assert!(told.contains("files__broken  WITHHELD: no schema\n"), "{told}");
        assert!(told.contains("| Reads.") && !told.contains("files__read "), "{told}");
        assert_eq!(left, 2);
        let prints = ["read", "write", "fresh", "gone"].map(|it| pins.get("files", it).is_some());
        assert_eq!(prints, [true, true, false, false]);
        assert_eq!(pins.get("files", "write"), Some("1"));

        let Pinned { told, left } = pinned(&state, true, &mut pins);
        assert!(told.ends_with("files: 3 tools pinned, of them 1 new and 1 changed\n"), "{told}");
        assert_eq!(left, 0);
        for (tool, print) in
            [("read", Some("1")), ("write", Some("2")), ("gone", None), ("broken", None)]
        {
            assert_eq!(pins.get("files", tool), print, "{tool}");
        }
    }
}
