//! The way to an agent in TLS: each connection shows the certificate that is in
//! the files then, and is given up unless the agent is who it should be.

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tls::{Client, Reasons, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;

use crate::Error;

/// What is spoken above TLS: what a client's certificate is opened for.
pub const PROTOCOLS: &[&[u8]] = &[b"h2"];

/// The port of a URL that names none.
const HTTPS: u16 = 443;

/// An agent, by where it is and who it must be.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: Client,
    told: Arc<Reasons>,
}

impl Way {
    /// `name` absent: the one in the URL.
    pub(crate) fn to(uri: &Uri, name: Option<&str>, tls: Client) -> Result<Self, Error> {
        let bad = || Error::BadUrl { url: uri.to_string() };
        let host = uri.host().ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = name.unwrap_or(host);
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(HTTPS),
            name: ServerName::try_from(name.to_owned())
                .map_err(|_invalid| Error::BadName { name: name.to_owned() })?,
            tls,
            told: Arc::default(),
        })
    }

    /// Connects and shakes hands. Why an agent is not believed is said: its
    /// callers hear only that it could not be reached.
    pub(crate) async fn connect(self) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let shaken = self.tls.connect(self.name, stream).await.and_then(agreed);
        if let Err(why) = &shaken
            && self.told.is_news(&why.to_string())
        {
            tracing::warn!(agent = self.host, %why, "an agent is not believed");
        }
        Ok(TokioIo::new(shaken?))
    }
}

fn agreed(stream: TlsStream<TcpStream>) -> io::Result<TlsStream<TcpStream>> {
    if stream.get_ref().1.alpn_protocol() == PROTOCOLS.first().copied() {
        return Ok(stream);
    }
    Err(io::Error::other("it does not agree on HTTP/2"))
}
