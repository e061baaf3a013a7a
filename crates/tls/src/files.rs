//! What is in the files: a certificate with its key, and authorities. All of
//! them are read before any of them counts, and known by one fingerprint.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use crate::{Error, provider};

/// The most that a file may have, in bytes: thrice the authorities of a whole
/// platform.
const MOST: u64 = 1 << 20;

/// Where a certificate and its key are, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The file of the certificate, first, and of those between it and its
    /// authority.
    pub chain: PathBuf,
    /// The file of its private key, without a passphrase. It may be the same.
    pub key: PathBuf,
}

/// The files that make one side of TLS.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) identity: Option<Identity>,
    /// Who vouches for the other side.
    pub(crate) authorities: Option<PathBuf>,
}

/// What they hold.
pub(crate) struct Material {
    pub(crate) identity: Option<Arc<CertifiedKey>>,
    pub(crate) authorities: Option<RootCertStore>,
}

/// Tells one content of all files from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

/// The files' bytes, a private key among them: not to be shown or kept.
pub(crate) struct Contents {
    identity: Option<(Vec<u8>, Vec<u8>)>,
    authorities: Option<Vec<u8>>,
    pub(crate) fingerprint: Fingerprint,
}

impl Files {
    /// Reads all of them.
    pub(crate) fn read(&self) -> Result<Contents, Error> {
        let mut hash = Sha256::new();
        let mut next = |path: &Path| {
            let bytes = bytes(path)?;
            hash.update(bytes.len().to_be_bytes());
            hash.update(&bytes);
            Ok::<_, Error>(bytes)
        };
        let identity = match &self.identity {
            Some(it) => Some((next(&it.chain)?, next(&it.key)?)),
            None => None,
        };
        let authorities = self.authorities.as_deref().map(&mut next).transpose()?;
        Ok(Contents { identity, authorities, fingerprint: Fingerprint(hash.finalize().into()) })
    }

    /// Makes of them what TLS needs.
    pub(crate) fn parse(&self, contents: &Contents) -> Result<Material, Error> {
        let identity = match (&self.identity, &contents.identity) {
            (Some(paths), Some((chain, key))) => Some(certified(paths, chain, key)?),
            (_, _) => None,
        };
        let authorities = match (&self.authorities, &contents.authorities) {
            (Some(path), Some(bytes)) => Some(roots(path, bytes)?),
            (_, _) => None,
        };
        Ok(Material { identity: identity.map(Arc::new), authorities })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| Error::Unreadable { path: path.to_owned(), error })?;
    if bytes.len() as u64 > MOST {
        return Err(Error::TooLarge { path: path.to_owned(), most: MOST });
    }
    Ok(bytes)
}

/// A certificate with its key, if they belong together.
fn certified(paths: &Identity, chain: &[u8], key: &[u8]) -> Result<CertifiedKey, Error> {
    let chain = certificates(&paths.chain, chain)?;
    let key = private_key(&paths.key, key)?;
    let key = provider().key_provider.load_private_key(key);
    // What the library says of a broken key is about a key.
    let Ok(key) = key else {
        return Err(Error::BadKey { path: paths.key.clone() });
    };
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        // A key that cannot tell its public half fits as far as one knows.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(pair)
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(Error::Mismatch { key: paths.key.clone(), chain: paths.chain.clone() })
        }
        Err(error) => {
            Err(Error::BadCertificate { path: paths.chain.clone(), reason: error.to_string() })
        }
    }
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match all {
        Ok(all) if all.is_empty() => Err(Error::NoCertificate { path: path.to_owned() }),
        Ok(all) => Ok(all),
        Err(error) => {
            Err(Error::BadCertificate { path: path.to_owned(), reason: error.to_string() })
        }
    }
}

fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    let path = path.to_owned();
    if bytes.windows(ENCRYPTED.len()).any(|it| it == ENCRYPTED) {
        return Err(Error::EncryptedKey { path });
    }
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(Error::NoKey { path }),
        // Its words could quote the file.
        Err(_malformed) => Err(Error::BadKey { path }),
    }
}

fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots.add(certificate).map_err(|error| Error::BadCertificate {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}
