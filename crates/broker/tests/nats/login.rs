//! How a process logs in: each kind against a real server that asks for it.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker::nats::{Config, Login, Security, open};
use nkeys::KeyPair;
use serde_json::{Value, json};
use testkit::nats::Server;
use tokio::time::{Duration, Instant};

use crate::world::{config, refusal};

fn login(server: &Server, login: Login) -> Config {
    let security = Security { login, ..Security::default() };
    Config { security, ..config(&server.url()) }
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What a server trusts because of who signed it.
fn token(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let coded = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let claims = json!({
        "jti": "X", "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "test",
        "sub": subject.public_key(), "nats": nats,
    });
    let signed = format!("{}.{}", coded(&head), coded(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_once_and_not_shown() {
    let server = Server::start_with("authorization { user: me, password: secret }").await.unwrap();
    let password = |it: &str| Login::Password { user: "me".to_owned(), password: it.into() };
    open(login(&server, password("secret"))).await.unwrap();
    let began = Instant::now();
    let why = refusal(login(&server, password("sesame"))).await;
    assert!(why.starts_with("cannot connect to NATS at ") && !why.contains("sesame"), "{why}");
    assert!(why.contains("authorization violation"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_seed_logs_in_whom_the_server_knows() {
    let (known, other) = (KeyPair::new_user(), KeyPair::new_user());
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", known.public_key());
    let server = Server::start_with(&users).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let seed = |name, key: &KeyPair| Login::Nkey(file(&folder, name, &key.seed().unwrap()));
    open(login(&server, seed("known", &known))).await.unwrap();
    let why = refusal(login(&server, seed("other", &other))).await;
    assert!(why.contains("authorization violation"), "{why}");
}

#[tokio::test]
async fn a_credentials_file_logs_in_whom_its_account_knows() {
    let keys = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let (operator, account, user) = &keys;
    let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
        "wildcards": true, "conn": -1, "leaf": -1});
    let mut streams = limits.clone();
    for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
        streams[limit] = json!(-1);
    }
    let ours = token(operator, operator, &json!({"type": "operator", "version": 2}));
    let system = KeyPair::new_account();
    let of = |account, limits| {
        token(operator, account, &json!({"type": "account", "version": 2, "limits": limits}))
    };
    let extra = format!(
        "operator: {ours}\nresolver: MEMORY\nsystem_account: {0}\n\
         resolver_preload: {{ {0}: {1}, {2}: {3} }}\n",
        system.public_key(),
        of(&system, &limits),
        account.public_key(),
        of(account, &streams)
    );
    let server = Server::start_with(&extra).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let of_user = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let credentials = |signer: &KeyPair| {
        let (jwt, seed) = (token(signer, user, &of_user), user.seed().unwrap());
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    };
    let given = |name, signer| {
        login(&server, Login::Credentials(file(&folder, name, &credentials(signer))))
    };
    open(given("good.creds", account)).await.unwrap();
    let stranger = KeyPair::new_account();
    let why = refusal(given("bad.creds", &stranger)).await;
    assert!(why.contains("authorization violation"), "{why}");
}
