//! A server's side: what it shows, and whom it lets in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use process::Lifecycle;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::files::{Files, Material};
use crate::names::{Clients, Named};
use crate::reloading::Reloading;
use crate::{Error, Identity, provider};

/// How often the files are looked at. What cannot be used is complained about
/// at the second look.
const LOOK: Duration = Duration::from_secs(2);

/// A server's certificate and key, and the clients that it lets in. Clones share
/// it.
#[derive(Debug, Clone)]
pub struct Server(Arc<Reloading<ServerConfig>>);

impl Server {
    /// Reads the files. `clients` absent: everybody is let in. `protocols` are
    /// the names of what is spoken (RFC 7301), the preferred one first.
    ///
    /// Errors: a file is missing, is not what it should be, or does not fit
    /// another one. That a certificate has expired is only said.
    pub fn open(
        identity: Identity,
        clients: Option<Clients>,
        protocols: &[&[u8]],
    ) -> Result<Self, Error> {
        let protocols: Vec<_> = protocols.iter().map(|it| it.to_vec()).collect();
        let authorities = clients.as_ref().map(|it| it.authorities.clone());
        let files = Files { identity: Some(identity), authorities };
        let make = move |material| config(material, clients.as_ref(), protocols.clone());
        Ok(Self(Arc::new(Reloading::open(files, make)?)))
    }

    /// Looks at the files every 2 s until the drain: handshakes after that show
    /// what is new. Connections that are open stay as they are.
    pub fn watch(&self, life: &Lifecycle) {
        let (files, draining) = (Arc::clone(&self.0), life.clone());
        life.spawn_as("watches of certificates", async move {
            loop {
                tokio::select! {
                    biased;
                    () = draining.draining() => return,
                    () = sleep(LOOK) => {}
                }
                let files = Arc::clone(&files);
                if let Err(error) = tokio::task::spawn_blocking(move || files.look()).await {
                    tracing::error!(%error, "certificates cannot be looked at");
                }
            }
        });
    }

    /// The handshake, however long it takes: the caller knows its patience.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.0.current()).accept(stream).await
    }
}

fn config(
    material: Material,
    clients: Option<&Clients>,
    protocols: Vec<Vec<u8>>,
) -> Result<ServerConfig, Error> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match (clients, material.authorities) {
        (Some(clients), Some(roots)) => {
            let vouched = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let vouched = vouched.build().map_err(|error| Error::NoAuthority {
                path: clients.authorities.clone(),
                reason: error.to_string(),
            })?;
            let names = clients.names.clone();
            builder.with_client_cert_verifier(Arc::new(Named { vouched, names }))
        }
        (_, _) => builder.with_no_client_auth(),
    };
    let identity = material.identity.ok_or(rustls::Error::NoCertificatesPresented)?;
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = protocols;
    if clients.is_some() {
        // A session that is taken up again does not show its certificate again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}
