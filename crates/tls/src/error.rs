//! Why certificates or keys cannot be used: the file and the reason, never what
//! is in it.

use std::io;
use std::path::PathBuf;

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is missing, or may not be read.
    #[error("{path} cannot be read: {error}", path = path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is no file of certificates or keys, by its size.
    #[error("{path} is larger than {most} bytes, which no file of certificates or keys may be", path = path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// The most it may have.
        most: u64,
    },
    /// There is no certificate where one should be.
    #[error("{path} holds no certificate in PEM", path = path.display())]
    NoCertificate {
        /// In which file.
        path: PathBuf,
    },
    /// There is something that looks like a certificate and is none.
    #[error("{path} holds a certificate that cannot be read: {reason}", path = path.display())]
    BadCertificate {
        /// In which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no private key where one should be.
    #[error("{path} holds no private key in PEM", path = path.display())]
    NoKey {
        /// In which file.
        path: PathBuf,
    },
    /// The private key needs a passphrase, which nobody could type.
    #[error("the private key in {path} is encrypted; it must be stored without a passphrase", path = path.display())]
    EncryptedKey {
        /// In which file.
        path: PathBuf,
    },
    /// The private key is of a kind that is not supported, or broken.
    #[error("the private key in {path} cannot be used; RSA, ECDSA (P-256, P-384, P-521) and Ed25519 can", path = path.display())]
    BadKey {
        /// In which file.
        path: PathBuf,
    },
    /// The private key is another's.
    #[error("the private key in {key} does not belong to the certificate in {chain}", key = key.display(), chain = chain.display())]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        chain: PathBuf,
    },
    /// No name was given that a client's certificate could have.
    #[error("a client's certificate must have one of some names, and none is given")]
    NoName,
    /// A name that no certificate can have.
    #[error("{name:?} is no DNS name that a certificate could have")]
    BadName {
        /// What was given.
        name: String,
    },
    /// The TLS library refuses what was put together.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Nobody is known who could vouch for a client.
    #[error("{path} holds nobody who could vouch for clients: {reason}", path = path.display())]
    NoAuthority {
        /// In which file.
        path: PathBuf,
        /// What the TLS library says.
        reason: String,
    },
    /// The platform has no certificates of authorities.
    #[error("the authorities that this platform trusts cannot be used: {0}")]
    Platform(rustls::Error),
}
