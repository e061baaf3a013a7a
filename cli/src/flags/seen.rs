//! Where operators look at a process.

use std::net::SocketAddr;

use clap::Args;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Seen {
    /// Where to serve /metrics (Prometheus), /healthz and /readyz, for operators
    /// only: whoever reaches it may read it; port 0 takes a free one [default:
    /// nowhere, and nothing is measured]
    #[arg(long, env = "WEIR_ADMIN", value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,
    /// Let everybody who can reach the admin address read it, also from other
    /// machines
    #[arg(long, env = "WEIR_ADMIN_WITHOUT_AUTHENTICATION")]
    pub(crate) admin_without_authentication: bool,
}
