//! Every flag, with its environment variable and its default.

mod ask;
mod auth;
mod chat;
mod completions;
mod decide;
mod doctor;
mod edge;
mod jobs;
mod kept;
mod knowledge;
mod log;
mod memory;
mod nats;
mod peer;
mod seen;
mod session;
mod sessions;
mod size;
mod status;
mod tail;
mod tls;
mod tools;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use broker::Durability;
use clap::{Args, Parser, Subcommand};

pub(crate) use ask::Ask;
pub(crate) use auth::{Authentication, KeysCommand, KeysCreate, KeysList, KeysRevoke};
pub(crate) use chat::Chat;
pub(crate) use completions::{Completions, Shell};
pub(crate) use decide::Decide;
pub(crate) use doctor::Doctor;
pub(crate) use edge::Edge;
pub(crate) use jobs::{Jobs, JobsCommand, JobsList, JobsShow, JobsSome};
pub(crate) use kept::Kept;
pub(crate) use knowledge::{KnowledgeCommand, KnowledgeSearch, Known};
pub(crate) use log::Log;
pub(crate) use memory::{MemoryAdd, MemoryCommand, MemoryForget, MemoryList};
pub(crate) use nats::{Declare, Login, NatsCommand, Servers, Tls};
pub(crate) use peer::Peer;
pub(crate) use seen::Seen;
pub(crate) use session::{Cancel, Delete};
pub(crate) use sessions::{
    Format, Sessions, SessionsCommand, SessionsExport, SessionsList, SessionsRename,
    SessionsSearch, SessionsShow,
};
pub(crate) use status::Status;
pub(crate) use tail::Tail;
pub(crate) use tls::{Access, AgentTls, EdgeTls, GrpcTls};
pub(crate) use tools::{ToolsChosen, ToolsCommand, ToolsList, ToolsPin};

/// How a process that serves says how it ended.
const EXIT_CODES: &str = "Exit codes: 0 done, or drained: everything under way was finished or \
    handed over; 1 failed, or a part of the process died; 2 wrong usage; 124 the grace was over \
    and what was left was aborted; 130 stopped at once by a second SIGINT (a client: stopped), \
    143 by a second SIGTERM";

/// A durable streaming backend for LLM agents.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Weir {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) up: Up,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in this process (the default)
    #[command(after_help = EXIT_CODES)]
    Up(Box<Up>),
    /// Run the HTTP edge
    #[command(after_help = EXIT_CODES)]
    Gateway(Gateway),
    /// Run a worker
    #[command(after_help = EXIT_CODES)]
    Worker(Worker),
    /// Run the knowledge agent
    #[command(after_help = EXIT_CODES)]
    Agent(Agent),
    /// Ask one question; the answer goes to standard output
    Ask(Ask),
    /// Talk
    Chat(Chat),
    /// List your sessions, show them, name them, write them down
    Sessions(Box<Sessions>),
    /// Watch a session: its events as they are stored
    Tail(Tail),
    /// Show the tool calls that wait for a human, or decide them
    Decide(Decide),
    /// Stop a session's turn
    Cancel(Cancel),
    /// Erase a session
    Delete(Delete),
    /// See what is remembered about you; add to it, or forget it
    Memory {
        #[command(subcommand)]
        command: MemoryCommand,
    },
    /// List jobs that were given up; put them back or drop them
    Jobs(Jobs),
    /// Look at the tools of the configured MCP servers, and give your word for them
    Tools {
        #[command(subcommand)]
        command: ToolsCommand,
    },
    /// Look into the documents that the agent answers from
    Knowledge {
        #[command(subcommand)]
        command: KnowledgeCommand,
    },
    /// Look after the API keys that a gateway takes
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Say how a gateway is: what it runs on, what waits, and its agents
    Status(Status),
    /// Look at all that a question needs, and say what to do where it is not right
    Doctor(Box<Doctor>),
    /// Look after the NATS servers that keep everything
    Nats {
        #[command(subcommand)]
        command: NatsCommand,
    },
    /// Print what a shell needs to complete weir's commands and flags
    Completions(Completions),
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
    #[command(flatten)]
    pub(crate) grace: Grace,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) seen: Seen,
}

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) edge: Edge,
    #[command(flatten)]
    pub(crate) grace: Grace,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) seen: Seen,
    #[command(flatten)]
    pub(crate) store: Nats,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    pub(crate) grace: Grace,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) seen: Seen,
    #[command(flatten)]
    pub(crate) store: Nats,
    #[command(flatten)]
    pub(crate) slots: Slots,
    /// How long a turn may take here, in seconds; let it be longer than what
    /// the agents allow
    #[arg(long, env = "WEIR_TURN_LIMIT", value_name = "SECONDS", default_value_t = 900,
          value_parser = clap::value_parser!(u32).range(10..=90_000))]
    turn_limit: u32,
    /// An agent to ask, as http://host:port or https://host:port; repeat it for
    /// several
    #[arg(
        long = "agent",
        env = "WEIR_AGENT",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:50051"
    )]
    pub(crate) agents: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: AgentTls,
}

impl Worker {
    pub(crate) fn turn_limit(&self) -> Duration {
        Duration::from_secs(self.turn_limit.into())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    pub(crate) grace: Grace,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) seen: Seen,
    #[command(flatten)]
    pub(crate) grpc: Grpc,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) mind: Mind,
}

/// How a process stops.
#[derive(Debug, Args)]
pub(crate) struct Grace {
    /// How long SIGTERM or SIGINT lets what is under way finish, in seconds;
    /// a second signal stops at once
    #[arg(long = "grace", env = "WEIR_GRACE", value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(..=86_400))]
    seconds: u32,
}

impl Grace {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Grpc {
    /// Where the agent serves gRPC; port 0 takes a free one
    #[arg(long, env = "WEIR_GRPC", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    pub(crate) grpc: SocketAddr,
    #[command(flatten)]
    pub(crate) tls: GrpcTls,
}

/// Where what was promised is kept: NATS, or this machine.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// NATS servers, separated by commas; without it the embedded broker is used
    #[arg(long, env = "NATS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) nats: Option<String>,
    /// The embedded broker's folder [default: the platform's data folder]
    #[arg(long, env = "WEIR_DATA", value_name = "DIR", conflicts_with = "nats")]
    pub(crate) data: Option<PathBuf>,
    /// Keep everything in memory: gone when the process ends
    #[arg(long, conflicts_with_all = ["nats", "data"])]
    pub(crate) ephemeral: bool,
    #[command(flatten)]
    pub(crate) servers: Servers,
    #[command(flatten)]
    pub(crate) least: Least,
    #[command(flatten)]
    pub(crate) kept: Kept,
}

/// The broker that several processes share.
#[derive(Debug, Args)]
pub(crate) struct Nats {
    /// NATS servers, separated by commas
    #[arg(
        long = "nats",
        env = "NATS_URL",
        value_name = "URL",
        hide_env_values = true,
        default_value = "nats://127.0.0.1:4222"
    )]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) servers: Servers,
    #[command(flatten)]
    pub(crate) least: Least,
    #[command(flatten)]
    pub(crate) kept: Kept,
}

/// What a process demands of its broker.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Least {
    /// Refuse to start where an acknowledgement is worth less, or it cannot be
    /// known: memory, disk, replicated or fsynced [default: none, but stated]
    #[arg(long, env = "WEIR_DURABILITY", value_name = "LEVEL")]
    pub(crate) durability: Option<Durability>,
}

/// What answers, and from what.
#[derive(Debug, Args)]
pub(crate) struct Mind {
    #[command(flatten)]
    pub(crate) file: Settings,
    /// Print the configuration that file, environment and flags come to, with
    /// its secrets masked, and start nothing
    #[arg(long)]
    pub(crate) print_config: bool,
    /// `extractive`, or `provider/name`, where `openai/<name>` is for any
    /// OpenAI-compatible server [default: that of the file, else one of the first
    /// provider with a key, else extractive]
    #[arg(long, env = "WEIR_MODEL", value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// A folder of documents to answer from; repeat it for several [default:
    /// those of the file, else Weir's own documentation]
    #[arg(long, env = "WEIR_KNOWLEDGE", value_name = "DIR", value_delimiter = ':')]
    pub(crate) knowledge: Vec<PathBuf>,
    /// The OpenAI-compatible server, with its version path [env: `OPENAI_BASE_URL`;
    /// its key comes from `OPENAI_API_KEY` or `OPENAI_API_KEY_FILE`]
    #[arg(long = "openai-base-url", value_name = "URL")]
    pub(crate) openai_url: Option<String>,
}

/// Where the agent's configuration is.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The agent's configuration: models, tools, knowledge, memory (TOML); flags
    /// count more [default: none]
    #[arg(long, env = "WEIR_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
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
