//! Which clients a server lets in: those that an authority vouches for, under a
//! name that stands for their role. An authority alone is not enough: it also
//! vouches for servers, and for clients with other business.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error as Tls, SignatureScheme};

use crate::Error;

/// The clients that a server lets in.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The file of who vouches for them (PEM).
    pub(crate) authorities: PathBuf,
    pub(crate) names: Vec<ServerName<'static>>,
}

impl Clients {
    /// Those with a certificate of these authorities (a file in PEM) that has
    /// one of these DNS names among its alternative names. A wildcard in the
    /// certificate stands for one label, as it does for servers.
    ///
    /// Errors: there is no name, or one that is none.
    pub fn new(authorities: PathBuf, names: &[String]) -> Result<Self, Error> {
        if names.is_empty() {
            return Err(Error::NoName);
        }
        let names = names.iter().map(|name| match DnsName::try_from(name.clone()) {
            Ok(name) => Ok(ServerName::DnsName(name)),
            Err(_) => Err(Error::BadName { name: name.clone() }),
        });
        Ok(Self { authorities, names: names.collect::<Result<_, _>>()? })
    }
}

/// Asks for a name besides what another asks for.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) vouched: Arc<dyn ClientCertVerifier>,
    pub(crate) names: Vec<ServerName<'static>>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.vouched.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Tls> {
        let verified = self.vouched.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let mut refused = None;
        for name in &self.names {
            match verify_server_name(&certificate, name) {
                Ok(()) => return Ok(verified),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or(Tls::NoCertificatesPresented))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        self.vouched.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Tls> {
        self.vouched.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.vouched.supported_verify_schemes()
    }
}
