//! Whom a client talks to.

use clap::Args;

use super::Access;

/// Whom a client talks to, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Peer {
    /// A gateway
    #[arg(long, env = "WEIR_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Who asks [default: whose the API key is, or `local` without one]
    #[arg(long, env = "WEIR_USER", value_name = "ID")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) access: Access,
}
