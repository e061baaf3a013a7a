//! Who a connection is, and whom it trusts. Every file is read before the first
//! connection, so that a wrong path or a key that is none is said by name;
//! two kinds of credentials at once are refused. Secrets are never shown.

use std::path::{Path, PathBuf};

use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::{ConnectOptions, ServerAddr};
use secrecy::{ExposeSecret as _, SecretString};

use super::address;
use crate::{Error, Result};

/// Who a connection is, and whom it trusts.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// How it logs in.
    pub login: Login,
    /// Certificates (PEM) of who signs the servers'. The system's when absent.
    pub ca: Option<PathBuf>,
    /// What it shows to servers that ask for a certificate.
    pub certificate: Option<Certificate>,
    /// Refuse servers without TLS. Implied by an authority, a certificate, or a
    /// `tls://` URL.
    pub tls: bool,
}

/// How a connection logs in.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// As the URL says, if it says so. With any other kind it may not.
    #[default]
    Url,
    /// A credentials file: a user's JWT and its nkey seed.
    Credentials(PathBuf),
    /// A file with a user's nkey seed.
    Nkey(PathBuf),
    /// A user by name.
    Password {
        /// The user.
        user: String,
        /// What it knows.
        password: SecretString,
    },
}

/// A certificate with its key, both in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The file of the certificate, with those between it and its authority.
    pub chain: PathBuf,
    /// The file of its private key.
    pub key: PathBuf,
}

impl Security {
    /// Options that log in and speak TLS as asked.
    ///
    /// Errors: [`Error::Unsuitable`] names the file that is missing, cannot be
    /// read or is not what it should be, or says that there are two logins.
    pub(super) async fn options(&self, servers: &[ServerAddr]) -> Result<ConnectOptions> {
        let options = self.encrypt(self.login(servers).await?).await?;
        // Also where they lead to others, which have no scheme.
        let tls = self.is_encrypted() || servers.iter().any(ServerAddr::tls_required);
        Ok(options.require_tls(tls))
    }

    async fn login(&self, servers: &[ServerAddr]) -> Result<ConnectOptions> {
        let in_url = servers.iter().any(|it| it.username().is_some());
        if in_url && !matches!(self.login, Login::Url) {
            return Err(unsuitable("one login, not another one in the URL besides"));
        }
        let options = ConnectOptions::new();
        match &self.login {
            Login::Url => Ok(address::login(servers)),
            Login::Credentials(path) => {
                let text = secret(path, "credentials file").await?;
                let read = options.credentials(text.expose_secret());
                read.map_err(|_why| wrong(path, "a NATS credentials file (JWT and seed)"))
            }
            Login::Nkey(path) => {
                let seed = secret(path, "nkey seed file").await?;
                Ok(options.nkey(user_seed(path, seed.expose_secret())?.to_owned()))
            }
            // A server whose own variable is empty would take it, from everybody.
            Login::Password { password, .. } if password.expose_secret().is_empty() => {
                Err(unsuitable("a password that is not empty"))
            }
            Login::Password { user, password } => {
                let password = password.expose_secret().to_owned();
                Ok(options.user_and_password(user.clone(), password))
            }
        }
    }

    async fn encrypt(&self, mut options: ConnectOptions) -> Result<ConnectOptions> {
        if let Some(path) = &self.ca {
            certificates(path).await?;
            options = options.add_root_certificates(path.clone());
        }
        if let Some(Certificate { chain, key }) = &self.certificate {
            certificates(chain).await?;
            let read = secret(key, "private key file").await?;
            if PrivateKeyDer::from_pem_slice(read.expose_secret().as_bytes()).is_err() {
                return Err(wrong(key, "a private key in PEM"));
            }
            options = options.add_client_certificate(chain.clone(), key.clone());
        }
        Ok(options)
    }

    /// Whether a server without TLS is refused.
    fn is_encrypted(&self) -> bool {
        self.tls || self.ca.is_some() || self.certificate.is_some()
    }
}

/// The seed in a file, if it is a user's. Only the kind of the mistake is told.
fn user_seed<'a>(path: &Path, text: &'a str) -> Result<&'a str> {
    let mut lines = text.lines().map(str::trim);
    let seed = lines.find(|it| !it.is_empty() && !it.starts_with(['-', '#', '*']));
    let seed = seed.unwrap_or_default();
    match nkeys::KeyPair::from_seed(seed).map(|it| it.key_pair_type()) {
        Ok(nkeys::KeyPairType::User) => Ok(seed),
        Ok(_) => Err(wrong(path, "a user's nkey seed (SU…), but another kind of nkey")),
        Err(_) => Err(wrong(path, "a user's nkey seed (SU…)")),
    }
}

async fn certificates(path: &Path) -> Result<()> {
    let bytes = bytes(path, "certificate file").await?;
    let mut read = CertificateDer::pem_slice_iter(&bytes);
    match read.next() {
        Some(Ok(_)) if read.all(|it| it.is_ok()) => Ok(()),
        Some(_) | None => Err(wrong(path, "a file of certificates in PEM")),
    }
}

async fn secret(path: &Path, what: &str) -> Result<SecretString> {
    match String::from_utf8(bytes(path, what).await?) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(unsuitable(&format!("a {what} of text, which {} is not", path.display()))),
    }
}

async fn bytes(path: &Path, what: &str) -> Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|error| {
        Error::Unsuitable(format!("the NATS {what} {} cannot be read: {error}", path.display()))
    })
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::Unsuitable(format!("{} is not {what}", path.display()))
}

fn unsuitable(what: &str) -> Error {
    Error::Unsuitable(format!("NATS needs {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(security: Security, url: &str) -> String {
        let servers = address::servers(url).unwrap();
        security.options(&servers).await.err().unwrap().to_string()
    }

    fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[tokio::test]
    async fn two_logins_are_refused_and_neither_is_shown() {
        let login = Login::Password { user: "me".to_owned(), password: "canary".into() };
        let security = Security { login, ..Security::default() };
        assert!(!format!("{security:?}").contains("canary"));
        let why = refused(security, "nats://you:canary@a").await;
        assert_eq!(why, "NATS needs one login, not another one in the URL besides");
    }

    #[tokio::test]
    async fn an_empty_password_is_refused() {
        let login = Login::Password { user: "me".to_owned(), password: "".into() };
        let why = refused(Security { login, ..Security::default() }, "nats://a").await;
        assert_eq!(why, "NATS needs a password that is not empty");
    }

    #[tokio::test]
    async fn a_file_that_is_not_what_it_should_be_is_named_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let bad = file(&folder, "bad", "canary\n");
        let account = nkeys::KeyPair::new_account().seed().unwrap();
        let account = file(&folder, "account", &account);
        let login = |login| Security { login, ..Security::default() };
        let ca = |it: PathBuf| Security { ca: Some(it), ..Security::default() };
        let table = [
            (login(Login::Credentials(bad.clone())), "a NATS credentials file"),
            (login(Login::Nkey(bad.clone())), "a user's nkey seed"),
            (login(Login::Nkey(account)), "but another kind of nkey"),
            (ca(bad), "a file of certificates in PEM"),
            (ca("/nowhere".into()), "/nowhere cannot be read"),
            (login(Login::Nkey(folder.path().into())), "cannot be read"),
        ];
        for (security, says) in table {
            let why = refused(security, "nats://a").await;
            assert!(why.contains(says) && !why.contains("canary"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_seed_may_stand_between_marks() {
        let folder = tempfile::tempdir().unwrap();
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        for text in [seed.clone(), format!("\n-----BEGIN USER NKEY SEED-----\n{seed}\n---\n")] {
            let login = Login::Nkey(file(&folder, "seed", &text));
            let servers = address::servers("nats://a").unwrap();
            Security { login, ..Security::default() }.options(&servers).await.unwrap();
        }
    }
}
