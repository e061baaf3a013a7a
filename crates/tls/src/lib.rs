//! Certificates of servers and clients, read from files and read again when
//! those change.
//!
//! Knows no protocol above TLS, never shows a private key, and goes on with
//! what it has when the new files cannot be used.

mod client;
mod error;
mod files;
mod names;
mod reasons;
mod reloading;
mod server;
mod worry;

pub use client::Client;
pub use error::Error;
pub use files::Identity;
pub use names::Clients;
pub use reasons::Reasons;
pub use rustls::pki_types::ServerName;
pub use server::Server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The cryptography, named wherever it is needed: no process-wide default that
/// another library could have chosen.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
