//! The edge that the flags describe: where it listens, and what it allows.
#![expect(clippy::print_stdout, reason = "the configuration is what was asked for")]

use std::net::SocketAddr;
use std::process::ExitCode;

use gateway::auth::{self, Verifier};
use tokio::net::TcpListener;

use crate::flags::Edge;
use crate::{Ended, banner, roles, secure};

/// Takes the port, and reads what is allowed there. Where nobody proves who they
/// are, only this machine may reach it.
pub(crate) async fn open(flags: &Edge) -> anyhow::Result<(TcpListener, gateway::Config)> {
    let auth = flags.auth.config();
    permitted(flags, &auth)?;
    if flags.auth.open {
        banner::say("callers", "everybody who reaches it, without authentication");
    }
    let (tls, auth) = (secure::edge(&flags.tls)?, Verifier::open(&auth).await?);
    let config = gateway::Config { tls, auth, ..read(flags)? };
    Ok((roles::listen(flags.http, "--http").await?, config))
}

/// Refuses an address that other machines reach while nobody proves who they
/// are.
pub(crate) fn permitted(flags: &Edge, auth: &auth::Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        may_listen(flags.http, auth, flags.auth.open),
        "--http {}: other machines must show who asks: give --api-keys, --jwt-secret-file or \
         --jwt-jwks, or say --without-authentication",
        flags.http
    );
    Ok(())
}

/// Whether those who reach an address prove who they are, or need not.
fn may_listen(address: SocketAddr, auth: &auth::Config, told: bool) -> bool {
    address.ip().is_loopback() || *auth != auth::Config::default() || told
}

/// What the file that the flags name comes to.
pub(crate) fn read(flags: &Edge) -> anyhow::Result<gateway::Config> {
    let file = flags.gateway_config.as_deref();
    Ok(file.map(gateway::Config::read).transpose()?.unwrap_or_default())
}

/// Prints what would be used, without starting anything.
pub(crate) fn print(flags: &Edge) -> Ended {
    print!("{}", read(flags)?.shown());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_needs_to_prove_nothing_unless_somebody_said_so() {
        let off = auth::Config::default();
        let on = auth::Config { keys: Some("keys.toml".into()), jwt: None };
        for (address, auth, told, expected) in [
            ("127.0.0.1:80", &off, false, true),
            ("127.1.2.3:80", &off, false, true),
            ("[::1]:80", &off, false, true),
            ("0.0.0.0:80", &off, false, false),
            ("[::]:80", &off, false, false),
            ("10.0.0.1:80", &off, false, false),
            ("0.0.0.0:80", &on, false, true),
            ("0.0.0.0:80", &off, true, true),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(may_listen(address, auth, told), expected, "{address} {auth:?} {told}");
        }
    }
}
