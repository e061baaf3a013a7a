//! Who makes a request: looked up once, before any handler.
//!
//! A credential is an API key or a JSON Web Token in the Authorization header,
//! or a ticket in the URL of a stream. Nothing is asked of disk, network or
//! broker for a request: keys lie in memory, and those who look after them are
//! tasks of their own. Only a token of a key that nobody knows may wait for the
//! next fetch of keys, and the first ticket for its secret.
//!
//! What was wrong with a credential is said in the log; who shows it learns that
//! it is invalid, or was valid and has expired.

mod changes;
mod issuer;
mod jwt;
pub mod keys;
mod register;
mod remote;
mod shown;
pub(crate) mod tickets;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, header};
use jiff::Timestamp;
use process::Lifecycle;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::caller::{Ends, Principal, Source as Shows};
use crate::edge::{Edge, Shared};
use crate::peer::Client;
use crate::problem::{Code, Refusal};
use issuer::Issuer;
use register::{Entry, Register};
use shown::{Shown, Wrong, purpose, shown};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The longest time that a stream is opened for, in whatever far future its
/// credential ends.
const FAR: Duration = Duration::from_hours(24 * 365);

/// How callers prove who they are; not at all, by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file of API keys, which `weir keys` writes.
    pub keys: Option<PathBuf>,
    /// Tokens of somebody who knows the users.
    pub jwt: Option<Jwt>,
}

/// Which JSON Web Tokens are good.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// What they are signed with.
    pub keys: Source,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be, or have among others.
    pub audience: String,
    /// The claim that names the user.
    #[serde(default = "subject")]
    pub user_claim: String,
    /// The claim that makes an operator, when it is `operator` or has it among
    /// others.
    #[serde(default = "role")]
    pub role_claim: String,
    /// How long after one fetch of keys the next one may follow.
    #[serde(skip, default = "pause")]
    pub pause: Duration,
}

/// Where the keys of tokens are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A file with the secret of HS256: at least 32 bytes, a line's end not
    /// counted.
    Secret(PathBuf),
    /// A JSON Web Key Set with the public keys of RS256, ES256 or `EdDSA`: a file,
    /// or a URL with its scheme.
    Jwks(String),
}

impl Jwt {
    /// Tokens with the usual claims.
    pub fn new(keys: Source, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            keys,
            issuer: issuer.into(),
            audience: audience.into(),
            user_claim: subject(),
            role_claim: role(),
            pause: pause(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(path) => path.display().fmt(f),
            Self::Jwks(place) => f.write_str(place),
        }
    }
}

fn subject() -> String {
    "sub".to_owned()
}

fn role() -> String {
    "role".to_owned()
}

const fn pause() -> Duration {
    Duration::from_mins(1)
}

/// Why nobody could be known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file of API keys cannot be used.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The keys of tokens cannot be had.
    #[error("{0}")]
    Jwt(String),
}

/// What is wrong with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    /// Why is for the log.
    Invalid(&'static str),
    Expired,
}

/// Knows callers by what they show. Clones share it; the default one knows
/// nobody and lets everybody in.
#[derive(Debug, Clone, Default)]
pub struct Verifier(Option<Arc<Known>>);

#[derive(Debug)]
struct Known {
    keys: Option<Register>,
    issuer: Option<Issuer>,
}

impl Verifier {
    /// Reads what the configuration names, and fetches what is elsewhere.
    ///
    /// Errors: a file or an answer is missing, or is not what it should be.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        if *config == Config::default() {
            return Ok(Self(None));
        }
        let keys = config.keys.as_ref().map(keys::File::at).map(Register::open).transpose()?;
        let issuer = match &config.jwt {
            Some(jwt) => Some(Issuer::open(jwt.clone()).await.map_err(Error::Jwt)?),
            None => None,
        };
        Ok(Self(Some(Arc::new(Known { keys, issuer }))))
    }

    /// Whether callers must show who they are.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn takes_tokens(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.issuer.is_some())
    }

    fn key(&self, id: &str) -> Option<Entry> {
        self.0.as_ref()?.keys.as_ref()?.get(id)
    }

    /// Looks at the files every second and fetches what is elsewhere now and
    /// then, until the drain.
    pub(crate) fn watch(&self, life: &Lifecycle) {
        let Some(known) = &self.0 else { return };
        let (files, draining) = (Arc::clone(known), life.clone());
        life.spawn_as("watches of keys", async move {
            loop {
                tokio::select! {
                    biased;
                    () = draining.draining() => return,
                    () = sleep(LOOK) => {}
                }
                let files = Arc::clone(&files);
                if let Err(error) = tokio::task::spawn_blocking(move || files.look()).await {
                    tracing::error!(%error, "keys cannot be looked at");
                }
            }
        });
        let (fetched, draining) = (Arc::clone(known), life.clone());
        life.spawn_as("watches of keys", async move {
            let Some(issuer) = &fetched.issuer else { return };
            tokio::select! {
                biased;
                () = draining.draining() => {}
                () = issuer.refresh() => {}
            }
        });
    }
}

impl Known {
    fn look(&self) {
        if let Some(keys) = &self.keys {
            keys.look();
        }
        if let Some(issuer) = &self.issuer {
            issuer.look();
        }
    }

    async fn judge(&self, token: &str) -> Result<Principal, Bad> {
        if let Some(keys) = self.keys.as_ref().filter(|_| token.starts_with(keys::PREFIX)) {
            let Entry { key, revoked } = keys.find(token, now())?;
            let until = key.expires.map(milliseconds);
            let ends = Ends { at: until.map(expires_at), revoked: Some(revoked) };
            let known = Principal::known(key.user.clone(), key.role, ends);
            let known = known.until(until.map(Duration::from_millis));
            return Ok(known.from(Shows::Key(key.id.as_str().into())));
        }
        let issuer = self.issuer.as_ref().ok_or(Bad::Invalid("it is no API key"))?;
        let jwt::Claims { user, role, expires } = issuer.judge(token).await?;
        let until = expires.saturating_add(jwt::LEEWAY_SECONDS).saturating_mul(1000);
        let ends = Ends { at: Some(expires_at(until)), revoked: None };
        let known = Principal::known(user, role, ends).until(Some(Duration::from_millis(until)));
        Ok(known.from(Shows::Token))
    }
}

fn now() -> Timestamp {
    let now = i64::try_from(process::clock::now().as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX)
}

/// Since the epoch.
fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}

/// When a moment, in milliseconds since the epoch, will have come.
fn expires_at(milliseconds: u64) -> Instant {
    let left = Duration::from_millis(milliseconds).saturating_sub(process::clock::now());
    Instant::now() + left.min(FAR)
}

/// Finds out who asks and passes the request on, or refuses it.
pub(crate) async fn check(State(edge): Shared, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match principal(&edge, &parts).await {
        Ok(principal) => {
            parts.extensions.insert(principal);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(No { refusal, challenge }) => {
            let mut response = refusal.into_response();
            if let Some(challenge) = challenge {
                let challenge = HeaderValue::from_static(challenge);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

/// A refusal, and what the client is asked to show (RFC 6750).
struct No {
    refusal: Refusal,
    challenge: Option<&'static str>,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, challenge: None }
    }
}

async fn principal(edge: &Edge, parts: &Parts) -> Result<Principal, No> {
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let purpose = purpose(&parts.method, route);
    let known = edge.config.auth.0.as_deref();
    let found = match (known, shown(&parts.headers, &parts.uri, purpose)) {
        (_, Ok(Shown::Ticket(purpose, ticket))) => tickets::judge(edge, &ticket, purpose).await?,
        (None, Ok(_) | Err(_)) => return Ok(Principal::anyone()),
        (Some(known), Ok(Shown::Token(token))) => known.judge(token).await,
        (Some(_), Ok(Shown::Nothing)) => {
            let detail = "an API key or a token is needed, as Authorization: Bearer and it";
            let refusal = Refusal::new(Code::Unauthenticated, detail);
            return Err(No { refusal, challenge: Some("Bearer") });
        }
        (Some(_), Err(Wrong::Request(detail))) => {
            let refusal = Refusal::new(Code::InvalidRequest, detail);
            return Err(No { refusal, challenge: Some("Bearer error=\"invalid_request\"") });
        }
        (Some(_), Err(Wrong::Credential(detail))) => return Err(refuse(edge, parts, detail)),
    };
    found.map_err(|bad| match bad {
        Bad::Expired => refuse(edge, parts, "the credential has expired"),
        Bad::Invalid(why) => {
            tracing::debug!(why, route, "a credential was refused");
            refuse(edge, parts, "the credential is not valid here")
        }
    })
}

/// Who shows many bad credentials has to wait.
fn refuse(edge: &Edge, parts: &Parts, detail: &'static str) -> No {
    let address = parts.extensions.get::<Client>();
    match address.map_or(Ok(()), |it| edge.limits.failure(it.0)) {
        Ok(()) => No {
            refusal: Refusal::new(Code::Unauthenticated, detail),
            challenge: Some("Bearer error=\"invalid_token\""),
        },
        Err(refusal) => refusal.into(),
    }
}
