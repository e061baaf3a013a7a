//! The servers of tools: whether their programs are there, and whether something
//! listens where they should be. Starts and asks none: `weir tools list` does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::Config;
use agent::mcp::{Server, Transport};
use futures::future::join_all;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::Finding;
use crate::access;

const CHECK: &str = "tools";
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(config: Option<&Config>) -> Vec<Finding> {
    let Some(config) = config else {
        return vec![Finding::off(CHECK, "the agent's configuration cannot be used")];
    };
    if config.servers.is_empty() {
        return vec![Finding::off(CHECK, "no MCP servers are configured")];
    }
    join_all(config.servers.iter().map(|(name, server)| one(name, server))).await
}

async fn one(name: &str, server: &Server) -> Finding {
    match &server.transport {
        Transport::Stdio { command, .. } => {
            let path = process::environment::get("PATH").unwrap_or_default();
            judge_program(name, command, program(command, &path).as_deref())
        }
        Transport::Http { url, .. } => {
            let shown = access::shown(url);
            judge_place(name, &shown, connected(url).await)
        }
    }
}

/// Where a program is that a process could start.
fn program(command: &Path, path: &str) -> Option<PathBuf> {
    let is_program =
        |it: &PathBuf| it.is_file() && rustix::fs::access(it, rustix::fs::Access::EXEC_OK).is_ok();
    if command.components().count() > 1 {
        return Some(command.to_owned()).filter(is_program);
    }
    std::env::split_paths(path).map(|it| it.join(command)).find(is_program)
}

async fn connected(url: &str) -> Result<(), String> {
    let url: Url = url.parse().map_err(|_why| "it is no URL".to_owned())?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or_default();
    match timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Err(_elapsed) => Err("no connection in time".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_stream)) => Ok(()),
    }
}

fn judge_program(name: &str, command: &Path, found: Option<&Path>) -> Finding {
    match found {
        Some(found) => Finding::ok(CHECK, format!("{name}: {} is there", found.display())),
        None => Finding::fail(
            CHECK,
            format!("{name}: there is no program {}", command.display()),
            "install it, or name it with its whole path in the configuration",
        ),
    }
}

fn judge_place(name: &str, place: &str, connected: Result<(), String>) -> Finding {
    match connected {
        Ok(()) => Finding::ok(CHECK, format!("{name}: something listens at {place}")),
        Err(why) => Finding::fail(
            CHECK,
            format!("{name}: nothing answers at {place}: {why}"),
            "start it, or correct its URL in the configuration",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_program_is_looked_for_as_a_start_would() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let path = format!("{}:/bin:/usr/bin", folder.path().display());
        assert!(program(Path::new("sh"), &path).unwrap().ends_with("sh"));
        assert_eq!(program(Path::new("/bin/sh"), ""), Some("/bin/sh".into()));
        assert_eq!(program(Path::new("/bin"), ""), None);
        assert_eq!(program(Path::new("plain"), &path), None);
        assert_eq!(program(Path::new("no-such-program"), &path), None);
    }

    #[test]
    fn what_is_not_there_fails() {
        let found = judge_program("files", Path::new("npx"), None);
        assert_eq!(found.outcome, Outcome::Fail);
        assert!(found.detail.contains("npx"));
        assert_eq!(judge_place("web", "http://a", Ok(())).outcome, Outcome::Ok);
        let away = judge_place("web", "http://a", Err("refused".to_owned()));
        assert_eq!(away.outcome, Outcome::Fail);
    }
}
