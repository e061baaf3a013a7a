//! Tools of MCP servers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// An MCP server as the operator configures it.
#[derive(Debug, Clone)]
pub struct Server {
    /// How it is reached.
    pub transport: Transport,
    /// How long a call may take without a word of progress.
    pub timeout: Duration,
    /// Its annotations of tools (read-only, idempotent, destructive) are
    /// believed.
    pub trusted: bool,
    /// The tools that are offered; empty for all.
    pub tools: Vec<String>,
}

/// How an MCP server is reached.
#[derive(Debug, Clone)]
pub enum Transport {
    /// A process that is started here and spoken to over its standard streams.
    Stdio {
        /// The program.
        command: PathBuf,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment beside `PATH` and `HOME`: it gets nothing else.
        env: BTreeMap<String, SecretString>,
    },
    /// Streamable HTTP.
    Http {
        /// Where it is.
        url: String,
        /// Sent with every request.
        headers: BTreeMap<String, SecretString>,
    },
}
