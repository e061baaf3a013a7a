//! The flags of the HTTP edge.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{Authentication, EdgeTls};

#[derive(Debug, Args)]
pub(crate) struct Edge {
    /// Where browsers and other HTTP clients connect; port 0 takes a free one
    #[arg(long, env = "WEIR_HTTP", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    #[command(flatten)]
    pub(crate) auth: Authentication,
    #[command(flatten)]
    pub(crate) tls: EdgeTls,
    /// The edge's configuration: hosts, origins, proxies, and every limit (TOML)
    /// [default: none]
    #[arg(long, env = "WEIR_GATEWAY_CONFIG", value_name = "FILE")]
    pub(crate) gateway_config: Option<PathBuf>,
    /// Print the configuration of the edge that the file comes to, and start
    /// nothing
    #[arg(long)]
    pub(crate) print_gateway_config: bool,
}
