//! Certificates as the flags name them, and the refusal to be reached from other
//! machines by clients that show none.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tls::{Clients, Identity, Server};
use tokio::net::TcpListener;

use crate::flags::{AgentTls, EdgeTls, Grpc, GrpcTls};
use crate::{banner, roles};

/// The HTTP edge's certificate, if it has one.
pub(crate) fn edge(flags: &EdgeTls) -> anyhow::Result<Option<Server>> {
    let identity = identity(flags.cert.as_ref(), flags.key.as_ref());
    let open = |it| Server::open(it, None, gateway::PROTOCOLS);
    identity.map(open).transpose().context("--tls-cert, --tls-key")
}

/// The edge's URL, for people.
pub(crate) fn page(address: SocketAddr, tls: Option<&Server>) -> String {
    let scheme = if tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}/")
}

/// Where the agent serves gRPC.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Server>,
    clients: Option<String>,
}

impl Port {
    /// Says where it is, and who may use it.
    pub(crate) fn announce(&self) -> anyhow::Result<()> {
        banner::say("grpc", self.listener.local_addr()?);
        match (&self.tls, &self.clients) {
            (None, _) => {}
            (Some(_), None) => banner::say("clients", "everybody, in TLS"),
            (Some(_), Some(names)) => {
                banner::say("clients", format_args!("with a certificate for {names}, in TLS"));
            }
        }
        Ok(())
    }

    /// Says that it leads around the authentication of the edge, where it does.
    pub(crate) fn warn(&self, edge: &gateway::Config) -> anyhow::Result<()> {
        if edge.auth.is_on() && self.clients.is_none() {
            let address = self.listener.local_addr()?;
            let open = "who reaches it may ask the agent in anybody's name, without authentication";
            banner::say(
                "warning",
                format_args!("grpc at {address}: {open}; close it with --grpc-client-ca"),
            );
        }
        Ok(())
    }
}

/// Takes the port of the agent's gRPC. Who calls may ask in anybody's name, so
/// that other machines may only reach it with a certificate.
///
/// Errors: it would be open to everybody, and nobody said that it should be; a
/// file cannot be used; the port is taken.
pub(crate) async fn listen(flags: &Grpc) -> anyhow::Result<Port> {
    let tls = grpc(flags)?;
    let GrpcTls { client_ca, client_names, .. } = &flags.tls;
    Ok(Port {
        listener: roles::listen(flags.grpc, "--grpc").await?,
        tls,
        clients: client_ca.as_ref().map(|_| client_names.join(" or ")),
    })
}

/// The certificate of the agent's gRPC, if it has one.
///
/// Errors: as [`listen`], but for the port.
pub(crate) fn grpc(flags: &Grpc) -> anyhow::Result<Option<Server>> {
    let GrpcTls { cert, key, client_ca, client_names, without_authentication } = &flags.tls;
    ensure!(
        flags.grpc.ip().is_loopback() || client_ca.is_some() || *without_authentication,
        "--grpc {}: other machines must show a certificate: give --grpc-tls-cert, --grpc-tls-key \
         and --grpc-client-ca, or say --grpc-without-authentication",
        flags.grpc
    );
    let clients = client_ca.clone().map(|ca| Clients::new(ca, client_names));
    let clients = clients.transpose().context("--grpc-client-name")?;
    let identity = identity(cert.as_ref(), key.as_ref());
    let open = |it| Server::open(it, clients, agent::PROTOCOLS);
    let tls = identity.map(open).transpose();
    tls.context("--grpc-tls-cert, --grpc-tls-key, --grpc-client-ca")
}

/// The agents at these URLs.
pub(crate) fn agents(
    urls: &[String],
    flags: &AgentTls,
) -> anyhow::Result<Vec<broker_worker::Agent>> {
    let secured = |it: &String| it.starts_with("https://");
    let tls = if urls.iter().any(secured) {
        let identity = identity(flags.cert.as_ref(), flags.key.as_ref());
        let opened = tls::Client::open(flags.ca.clone(), identity, broker_worker::PROTOCOLS);
        Some(opened.context("--agent-ca, --agent-cert, --agent-key")?)
    } else {
        None
    };
    let agent = |url: &String| {
        if let Some(tls) = tls.as_ref().filter(|_| secured(url)) {
            let name = flags.name.as_deref();
            return Ok(broker_worker::Agent::secured(url, name, tls.clone())?);
        }
        let given = flags.given();
        let flag = given.unwrap_or_default();
        ensure!(given.is_none(), "{flag}: there is no TLS to --agent {url}; https:// has it");
        Ok(broker_worker::Agent::url(url)?)
    };
    urls.iter().map(agent).collect()
}

fn identity(chain: Option<&PathBuf>, key: Option<&PathBuf>) -> Option<Identity> {
    let (chain, key) = chain.zip(key)?;
    Some(Identity { chain: chain.clone(), key: key.clone() })
}
