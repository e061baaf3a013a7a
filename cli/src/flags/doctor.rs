//! The flags of `weir doctor`: those of `weir up` and of a client, so that it
//! sees what they would use.

use clap::Args;

use super::{AgentTls, Edge, Grpc, Mind, Peer, Store};

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON, one finding a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Tell also what was not looked at, and why
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) edge: Edge,
    #[command(flatten)]
    pub(crate) store: Store,
    /// An agent to look for, as http://host:port or https://host:port; repeat it
    /// for several [default: where `--grpc` says]
    #[arg(long = "agent", env = "WEIR_AGENT", value_name = "URL", value_delimiter = ',')]
    pub(crate) agents: Vec<String>,
    #[command(flatten)]
    pub(crate) agent_tls: AgentTls,
    #[command(flatten)]
    pub(crate) grpc: Grpc,
    #[command(flatten)]
    pub(crate) mind: Mind,
}
