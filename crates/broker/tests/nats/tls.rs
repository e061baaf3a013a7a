//! Whom a process believes to be a server of ours, and who a server believes it
//! is: real servers, with certificates made for the test.

use std::path::PathBuf;

use broker::nats::{Certificate, Config, Security, open};
use testkit::nats::{Authority, Server};
use tokio::time::{Duration, Instant};

use crate::world::{config, refusal};

async fn server(authority: &Authority, more: &str) -> Server {
    let (certificate, key) = authority.vouch("server").unwrap();
    let (certificate, key, ca) = (certificate.display(), key.display(), authority.ca());
    let ca = ca.display();
    let tls = format!(
        "tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{ca}\"{more} }}"
    );
    Server::start_with(&tls).await.unwrap()
}

fn trusting(server: &Server, ca: PathBuf) -> Config {
    let security = Security { ca: Some(ca), ..Security::default() };
    Config { security, ..config(&server.url()) }
}

fn showing(config: Config, (certificate, key): (PathBuf, PathBuf)) -> Config {
    let certificate = Some(Certificate { chain: certificate, key });
    Config { security: Security { certificate, ..config.security }, ..config }
}

/// Refused within seconds, for this reason.
async fn refused(config: Config, says: &str) {
    let began = Instant::now();
    let why = refusal(config).await;
    assert!(why.starts_with("cannot connect to NATS at ") && why.contains(says), "{why}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_is_believed_only_when_the_right_authority_vouches_for_it() {
    let authority = Authority::new().unwrap();
    let server = server(&authority, "").await;
    open(trusting(&server, authority.ca())).await.unwrap();
    let other = Authority::new().unwrap();
    refused(trusting(&server, other.ca()), "invalid peer certificate").await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_takes_only_one_it_knows() {
    let authority = Authority::new().unwrap();
    let server = server(&authority, ", verify: true").await;
    let config = || trusting(&server, authority.ca());
    open(showing(config(), authority.vouch("client").unwrap())).await.unwrap();
    refused(config(), "received fatal alert").await;
    let other = Authority::new().unwrap();
    let stranger = showing(config(), other.vouch("client").unwrap());
    refused(stranger, "received fatal alert").await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let server = Server::start().await.unwrap();
    let authority = Authority::new().unwrap();
    refused(trusting(&server, authority.ca()), "a server without TLS?").await;
    let security = Security { tls: true, ..Security::default() };
    refused(Config { security, ..config(&server.url()) }, "a server without TLS?").await;
    refused(config(&server.url().replace("nats:", "tls:")), "a server without TLS?").await;
}

#[tokio::test]
async fn a_key_that_is_of_another_certificate_is_refused() {
    let authority = Authority::new().unwrap();
    let server = server(&authority, "").await;
    let (certificate, _) = authority.vouch("client").unwrap();
    let (_, key) = authority.vouch("other").unwrap();
    refused(showing(trusting(&server, authority.ca()), (certificate, key)), "key").await;
}
