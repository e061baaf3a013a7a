//! API keys, signers of tokens and a server of their public keys, made for a
//! test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gateway::Config;
use gateway::auth::keys::{File, Key, Role, Wanted};
use gateway::auth::{self, Jwt, Source, Verifier};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use process::Lifecycle;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::Edge;

pub(crate) const ISSUER: &str = "https://id.example.org";
pub(crate) const AUDIENCE: &str = "weir";

/// A file of keys.
pub(crate) struct Keys {
    pub(crate) folder: TempDir,
    pub(crate) file: File,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = File::at(folder.path().join("keys.toml"));
        Self { folder, file }
    }

    pub(crate) fn make(&self, user: &str, role: Role) -> (Key, String) {
        let user = user.parse().unwrap();
        let made = self.file.create(Wanted { user, role, label: None, expires: None });
        let (key, text) = made.unwrap();
        (key, text.expose_secret().to_owned())
    }

    /// A file in the same folder.
    pub(crate) fn beside(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// An edge's configuration that takes these keys, and tokens.
    pub(crate) async fn config(&self, jwt: Option<Jwt>) -> Config {
        let keys = Some(self.file.path().to_owned());
        let auth = Verifier::open(&auth::Config { keys, jwt }).await.unwrap();
        Config { auth, ..Config::default() }
    }
}

/// Who signs tokens with one key.
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) jwk: Value,
    pub(crate) public: KeyPair,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn rsa(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        let jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
        Self::of((id, Algorithm::RS256), serde_json::to_value(jwk).unwrap(), (pair, key))
    }

    pub(crate) fn ec(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let point = pair.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|it| BASE64_URL_SAFE_NO_PAD.encode(it));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        Self::of((id, Algorithm::ES256), jwk, (pair, key))
    }

    pub(crate) fn ed(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let key = EncodingKey::from_ed_der(&pair.serialize_der());
        let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key_raw());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        Self::of((id, Algorithm::EdDSA), jwk, (pair, key))
    }

    fn of(
        (id, algorithm): (&str, Algorithm),
        mut jwk: Value,
        (public, key): (KeyPair, EncodingKey),
    ) -> Self {
        jwk["kid"] = id.into();
        Self { id: id.to_owned(), algorithm, jwk, public, key }
    }

    pub(crate) fn header(&self) -> Header {
        Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) }
    }

    pub(crate) fn sign(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).unwrap()
    }

    /// A good token of a user.
    pub(crate) fn token(&self, user: &str) -> String {
        self.sign(&self.header(), &claims(user))
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    process::clock::now().as_secs()
}

pub(crate) fn claims(user: &str) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "exp": now() + 600, "sub": user})
}

pub(crate) fn set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|it| &it.jwk).collect();
    json!({ "keys": keys }).to_string()
}

pub(crate) fn jwt(keys: Source) -> Jwt {
    Jwt::new(keys, ISSUER, AUDIENCE)
}

/// Serves a key set, and counts who fetches it.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) fetches: Arc<AtomicUsize>,
    answer: Arc<Mutex<(u16, String)>>,
    life: Lifecycle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.life.abort();
    }
}

impl Server {
    pub(crate) async fn start(text: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (fetches, answer) = (Arc::<AtomicUsize>::default(), Arc::new(Mutex::new((200, text))));
        let (counted, told) = (Arc::clone(&fetches), Arc::clone(&answer));
        let serve = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let (status, text) = told.lock().unwrap().clone();
            let status = http::StatusCode::from_u16(status).unwrap();
            (status, [("location", "/keys")], text)
        };
        let router = Router::new().route("/keys", get(serve));
        let life = Lifecycle::new();
        life.serve("keys", async move { axum::serve(listener, router).await });
        Self { url, fetches, answer, life }
    }

    pub(crate) fn answer(&self, status: u16, text: String) {
        *self.answer.lock().unwrap() = (status, text);
    }

    pub(crate) fn fetched(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(crate) fn source(&self) -> Source {
        Source::Jwks(self.url.clone())
    }
}

/// What the list of his sessions is answered to who shows a token.
pub(crate) async fn status(edge: &Edge, token: &str) -> u16 {
    let listed = edge.get("/v1/sessions").bearer_auth(token).send().await;
    listed.unwrap().status().as_u16()
}
