//! Agents with tools, as an operator sets them up: a file, a model that does
//! what its question says, and a server that counts from outside of every
//! process under test.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::mcp::Server;
use testkit::model::{FakeModel, ToolCall};
use tokio::process::Command;

/// The variable with the agent's key.
pub(crate) const KEY: &str = "MINE";

/// What an agent needs beside itself.
pub(crate) struct Surroundings {
    pub(crate) model: FakeModel,
    pub(crate) server: Server,
    folder: TempDir,
}

impl Surroundings {
    pub(crate) async fn start() -> Result<Self> {
        let (model, server) = tokio::try_join!(FakeModel::start(), Server::start())?;
        Ok(Self { model, server, folder: tempfile::tempdir()? })
    }

    /// A folder of the test's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration: the model, the server as `t`, and `more`. The
    /// path of the file.
    pub(crate) fn configure(&self, more: &str) -> Result<String> {
        let (model, server) = (self.model.base_url(), self.server.url());
        let text = format!(
            "model = \"mine/script\"\n[providers.mine]\nbase_url = \"{model}\"\n\
             key_env = \"{KEY}\"\n[mcp.t]\nurl = \"{server}\"\ntrusted = true\n{more}"
        );
        let path = self.folder().join("agent.toml");
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

/// A command of the binary with a configuration file, and the key it names.
pub(crate) fn configured(arguments: &[&str], file: &str, key: &str) -> Command {
    let mut command = crate::stage::weir(arguments);
    command.args(["--config", file]).env(KEY, key);
    command
}

/// A call that a script makes the model ask for.
pub(crate) fn call(id: &str, name: &str, arguments: &Value) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_string() }
}

/// A decision about a call as it was shown; `more` is what its type needs.
pub(crate) fn decision(call: &Value, kind: &str, more: &Value) -> Value {
    let mut decision = json!({ "type": kind });
    decision["callId"] = call["callId"].clone();
    decision["argumentsHash"] = call["argumentsHash"].clone();
    for (name, value) in more.as_object().into_iter().flatten() {
        decision[name] = value.clone();
    }
    decision
}

/// The ids of calls that wait.
pub(crate) fn ids(calls: &Value) -> Vec<&str> {
    calls.as_array().into_iter().flatten().filter_map(|it| it["callId"].as_str()).collect()
}
