//! A client's side: whom it believes, and what it shows.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::files::{Files, Material};
use crate::reloading::Reloading;
use crate::{Error, Identity, provider};

/// Whom a client believes, and what it shows if it is asked. Clones share it.
#[derive(Debug, Clone)]
pub struct Client(Arc<Reloading<ClientConfig>>);

impl Client {
    /// Reads the files. `authorities` (PEM) vouch for servers in place of those
    /// that the platform trusts; `protocols` as for a server.
    ///
    /// Errors: a file is missing, is not what it should be, or does not fit
    /// another one. That a certificate has expired is only said.
    pub fn open(
        authorities: Option<PathBuf>,
        identity: Option<Identity>,
        protocols: &[&[u8]],
    ) -> Result<Self, Error> {
        let protocols: Vec<_> = protocols.iter().map(|it| it.to_vec()).collect();
        let make = move |material| config(material, protocols.clone());
        Ok(Self(Arc::new(Reloading::open(Files { identity, authorities }, make)?)))
    }

    /// The configuration as the files are now, for a library that makes its
    /// connections itself.
    pub fn config(&self) -> ClientConfig {
        self.0.look();
        ClientConfig::clone(&self.0.current())
    }

    /// The handshake with a server of this name, with what is in the files now.
    pub async fn connect<S>(&self, name: ServerName<'static>, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let files = Arc::clone(&self.0);
        if let Err(error) = tokio::task::spawn_blocking(move || files.look()).await {
            tracing::error!(%error, "certificates cannot be looked at");
        }
        TlsConnector::from(self.0.current()).connect(name, stream).await
    }
}

fn config(material: Material, protocols: Vec<Vec<u8>>) -> Result<ClientConfig, Error> {
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = if let Some(roots) = material.authorities {
        builder.with_root_certificates(roots)
    } else {
        let platform = Verifier::new(provider()).map_err(Error::Platform)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(platform))
    };
    let mut config = match material.identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols;
    Ok(config)
}
