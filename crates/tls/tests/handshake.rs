//! Handshakes over a pipe, with certificates of this test's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::Lifecycle;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;
use tls::{Client, Clients, Error, Identity, Server, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority and a folder for what it vouches for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    fn vouch(&self, name: &str) -> Identity {
        self.vouch_with(name, |_| {})
    }

    fn vouch_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let identity = Identity {
            chain: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}.key")),
        };
        fs::write(&identity.chain, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }

    fn client(&self, identity: Option<Identity>) -> Client {
        Client::open(Some(self.ca()), identity, &[]).unwrap()
    }
}

fn clients(authority: &Authority, names: &[&str]) -> Clients {
    let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
    Clients::new(authority.ca(), &names).unwrap()
}

/// What the client sees of the server's certificate; an error when one of the
/// two refuses the other.
async fn meet(server: &Server, client: &Client, name: &str) -> std::io::Result<Vec<u8>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let asked = async {
        let mut stream = client.connect(name, near).await?;
        // What the server thinks of the client comes with its first bytes.
        stream.read_u8().await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap();
        Ok(certificates[0].to_vec())
    };
    let answered = async {
        let mut stream: TlsStream<DuplexStream> = server.accept(far).await?;
        stream.write_u8(1).await?;
        stream.flush().await?;
        Ok::<_, std::io::Error>(stream)
    };
    let (seen, server_side) =
        timeout(PATIENCE, async { tokio::join!(asked, answered) }).await.unwrap();
    server_side.map_err(|error| std::io::Error::other(format!("the server: {error}")))?;
    seen
}

fn der(identity: &Identity) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(&identity.chain).unwrap().to_vec()
}

#[tokio::test]
async fn a_client_believes_a_server_by_its_authority_and_its_name() {
    let authority = Authority::new();
    let identity = authority.vouch("localhost");
    let server = Server::open(identity.clone(), None, &[b"h2"]).unwrap();
    let client = authority.client(None);
    assert_eq!(meet(&server, &client, "localhost").await.unwrap(), der(&identity));
    assert!(meet(&server, &client, "elsewhere").await.is_err());
    let stranger = Authority::new().client(None);
    assert!(meet(&server, &stranger, "localhost").await.is_err());
}

#[tokio::test]
async fn a_client_is_let_in_by_its_authority_and_one_of_the_names() {
    let (authority, other) = (Authority::new(), Authority::new());
    let clients = clients(&authority, &["worker", "probe"]);
    let server = Server::open(authority.vouch("agent"), Some(clients), &[]).unwrap();
    let of = |identity| authority.client(identity);
    for name in ["worker", "probe"] {
        meet(&server, &of(Some(authority.vouch(name))), "agent").await.unwrap();
    }
    let worker_with = |file: &str, change: fn(&mut CertificateParams)| {
        authority.vouch_with(file, |it| {
            *it = CertificateParams::new(vec!["worker".to_owned()]).unwrap();
            change(it);
        })
    };
    let expired = worker_with("expired", |it| {
        it.not_before = date_time_ymd(2020, 1, 1);
        it.not_after = date_time_ymd(2021, 1, 1);
    });
    let only_server = worker_with("only-server", |it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (identity, says) in [
        (None, "sent no certificates"),
        (Some(authority.vouch("gateway")), "not valid for name"),
        // The other authority goes by the same name, but has another key.
        (Some(other.vouch("worker")), "BadSignature"),
        (Some(expired), "expired"),
        (Some(only_server), "does not allow extended key usage"),
    ] {
        let error = meet(&server, &of(identity), "agent").await.unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// Waits until a new handshake shows this certificate.
async fn until_shown(server: &Server, client: &Client, identity: &Identity) {
    let shown = async {
        while meet(server, client, "a").await.unwrap() != der(identity) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, shown).await.expect("the new certificate is shown");
}

#[tokio::test]
async fn new_files_are_used_in_new_handshakes() {
    let authority = Authority::new();
    let identity = authority.vouch("a");
    let life = Lifecycle::new();
    let server = Server::open(identity.clone(), None, &[]).unwrap();
    server.watch(&life);
    let client = authority.client(None);
    let old = der(&identity);
    assert_eq!(meet(&server, &client, "a").await.unwrap(), old);
    authority.vouch("a");
    assert_ne!(der(&identity), old);
    until_shown(&server, &client, &identity).await;
    life.drain();
    assert_eq!(life.wait(PATIENCE).await, Ok(process::Outcome::Drained));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_is_turned_is_a_new_file() {
    use std::os::unix::fs::symlink;

    let authority = Authority::new();
    let volume = authority.folder.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let turn = |to: &Path| {
        symlink(to, volume.join("data_next")).unwrap();
        fs::rename(volume.join("data_next"), volume.join("data")).unwrap();
    };
    let fill = |name: &str| {
        let (made, folder) = (authority.vouch("a"), volume.join(name));
        fs::create_dir(&folder).unwrap();
        fs::copy(&made.chain, folder.join("tls.crt")).unwrap();
        fs::copy(&made.key, folder.join("tls.key")).unwrap();
        folder
    };
    turn(&fill("one"));
    let identity =
        Identity { chain: volume.join("data/tls.crt"), key: volume.join("data/tls.key") };
    let life = Lifecycle::new();
    let server = Server::open(identity.clone(), None, &[]).unwrap();
    server.watch(&life);
    let client = authority.client(None);
    until_shown(&server, &client, &identity).await;
    turn(&fill("two"));
    until_shown(&server, &client, &identity).await;
    life.abort();
}

#[tokio::test]
async fn a_client_shows_what_is_in_its_files_when_it_connects() {
    let authority = Authority::new();
    let clients = clients(&authority, &["worker"]);
    let server = Server::open(authority.vouch("agent"), Some(clients), &[]).unwrap();
    let identity = authority.vouch("worker");
    let client = authority.client(Some(identity.clone()));
    let seen = async || {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("agent").unwrap();
        let (near, far) = tokio::join!(client.connect(name, near), server.accept(far));
        drop(near);
        far.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    assert_eq!(seen().await, der(&identity));
    let first = der(&identity);
    authority.vouch("worker");
    assert_ne!(der(&identity), first);
    assert_eq!(seen().await, der(&identity));
    // It goes on with what it has when there is nothing new to use.
    let second = der(&identity);
    fs::write(&identity.chain, "nothing").unwrap();
    assert_eq!(seen().await, second);
    fs::remove_file(&identity.key).unwrap();
    assert_eq!(seen().await, second);
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason_and_never_quoted() {
    let authority = Authority::new();
    let good = authority.vouch("good");
    let file = |name: &str, text: &str| {
        fs::write(authority.file(name), text).unwrap();
        authority.file(name)
    };
    let key = KeyPair::generate().unwrap().serialize_pem();
    let with = |chain: &Path, key: &Path| {
        let identity = Identity { chain: chain.to_owned(), key: key.to_owned() };
        let error = Server::open(identity, None, &[]).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        error.to_string()
    };
    let bare = file("bare", "canary");
    let mangled =
        file("mangled", "-----BEGIN PRIVATE KEY-----\ncanary!\n-----END PRIVATE KEY-----\n");
    let encrypted = file(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nY2FuYXJ5\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let no_key =
        file("no_key", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n");
    let no_certificate =
        file("no_cert", "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n");
    let large = file("large", &"x".repeat((1 << 20) + 1));
    let foreign = file("foreign", &key);
    for (error, file, says) in [
        (with(Path::new("/nowhere.pem"), &good.key), "/nowhere.pem", "cannot be read"),
        (with(&good.chain, authority.folder.path()), "", "cannot be read"),
        (with(&bare, &good.key), "bare", "holds no certificate"),
        (with(&no_certificate, &good.key), "no_cert", "holds a certificate that cannot be read"),
        (with(&good.key, &good.key), "good.key", "holds no certificate"),
        (with(&good.chain, &good.chain), "good.pem", "holds no private key"),
        (with(&good.chain, &mangled), "mangled", "cannot be used"),
        (with(&good.chain, &no_key), "no_key", "cannot be used"),
        (with(&good.chain, &encrypted), "encrypted", "is encrypted"),
        (with(&good.chain, &foreign), "foreign", "does not belong to"),
        (with(&good.chain, &large), "large", "larger than 1048576 bytes"),
    ] {
        assert!(error.contains(file) && error.contains(says), "{says}: {error}");
    }
    let names = |names: &[String]| Clients::new(authority.ca(), names).unwrap_err();
    assert!(matches!(names(&[]), Error::NoName));
    assert!(matches!(names(&["not a name".to_owned()]), Error::BadName { .. }));
    let none = Client::open(Some(file("empty", "")), None, &[]).unwrap_err().to_string();
    assert!(none.contains("empty holds no certificate"), "{none}");
}

#[test]
fn an_expired_certificate_may_be_opened_and_a_key_is_never_shown() {
    let authority = Authority::new();
    let identity = authority.vouch_with("old", |it| {
        it.not_before = date_time_ymd(2020, 1, 1);
        it.not_after = date_time_ymd(2021, 1, 1);
    });
    let key = fs::read_to_string(&identity.key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let shown = format!(
        "{:?} {:?}",
        Server::open(identity.clone(), None, &[]).unwrap(),
        authority.client(Some(identity))
    );
    assert!(shown.contains("old.key") && !shown.contains(secret), "{shown}");
}
