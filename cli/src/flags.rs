//! Every flag, with its environment variable and its default.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

/// A durable streaming backend for LLM agents.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Weir {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) up: Up,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in this process (the default)
    Up(Up),
    /// Run the HTTP edge
    Gateway(Gateway),
    /// Run a worker
    Worker(Worker),
    /// Run the knowledge agent
    Agent(Agent),
    /// Ask one question; the answer goes to standard output
    Ask(Ask),
    /// Talk
    Chat(Chat),
    /// Print a session's events as they are stored
    Tail(Tail),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) edge: Edge,
    #[command(flatten)]
    pub(crate) grpc: Grpc,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) mind: Mind,
    #[command(flatten)]
    pub(crate) slots: Slots,
}

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) edge: Edge,
    #[command(flatten)]
    pub(crate) store: Nats,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    pub(crate) store: Nats,
    #[command(flatten)]
    pub(crate) slots: Slots,
    /// An agent to ask, as http://host:port; repeat it for several
    #[arg(
        long = "agent",
        env = "WEIR_AGENT",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:50051"
    )]
    pub(crate) agents: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    pub(crate) grpc: Grpc,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) mind: Mind,
}

#[derive(Debug, Args)]
pub(crate) struct Edge {
    /// Where browsers and other HTTP clients connect; port 0 takes a free one
    #[arg(long, env = "WEIR_HTTP", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Grpc {
    /// Where the agent serves gRPC; port 0 takes a free one
    #[arg(long, env = "WEIR_GRPC", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    pub(crate) grpc: SocketAddr,
}

/// Where what was promised is kept: NATS, or this machine.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// NATS servers, separated by commas; without it the embedded broker is used
    #[arg(long, env = "NATS_URL", value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Copies of everything that NATS keeps
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    /// The embedded broker's folder [default: the platform's data folder]
    #[arg(long, env = "WEIR_DATA", value_name = "DIR", conflicts_with = "nats")]
    pub(crate) data: Option<PathBuf>,
    /// Keep everything in memory: gone when the process ends
    #[arg(long, conflicts_with_all = ["nats", "data"])]
    pub(crate) ephemeral: bool,
}

/// The broker that several processes share.
#[derive(Debug, Args)]
pub(crate) struct Nats {
    /// NATS servers, separated by commas
    #[arg(long, env = "NATS_URL", value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    pub(crate) nats: String,
    /// Copies of everything that NATS keeps
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
}

/// What answers, and from what.
#[derive(Debug, Args)]
pub(crate) struct Mind {
    /// `extractive`, or `openai/<name>` for any OpenAI-compatible server
    /// [default: openai/gpt-4o-mini with a key, else extractive]
    #[arg(long, env = "WEIR_MODEL", value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// A folder of Markdown and text to answer from; repeat it for several
    /// [default: Weir's own documentation]
    #[arg(long, env = "WEIR_KNOWLEDGE", value_name = "DIR", value_delimiter = ':')]
    pub(crate) knowledge: Vec<PathBuf>,
    /// The key of the OpenAI-compatible server; only from the environment
    #[arg(long = "openai-api-key", env = "OPENAI_API_KEY", hide = true, hide_env_values = true)]
    pub(crate) openai_key: Option<SecretString>,
    /// The OpenAI-compatible server, with its version path
    #[arg(long = "openai-base-url", env = "OPENAI_BASE_URL", value_name = "URL")]
    pub(crate) openai_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Slots {
    /// Turns worked on at the same time
    #[arg(long, env = "WEIR_SLOTS", value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) slots: u32,
}

impl Slots {
    pub(crate) fn count(&self) -> usize {
        self.slots.try_into().unwrap_or(usize::MAX)
    }
}

/// Whom a client talks to, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Peer {
    /// A gateway
    #[arg(long, env = "WEIR_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Who asks
    #[arg(long, env = "WEIR_USER", value_name = "ID", default_value = "local")]
    pub(crate) user: String,
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// The session to go on with; a new one when absent
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// A model the agent offers
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Print every event as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The question; standard input when absent or `-`
    pub(crate) question: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// The session to go on with; a new one when absent
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Where to begin: `start`, `now` or a position [default: the running turn]
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<String>,
    /// The session
    pub(crate) session: String,
}
