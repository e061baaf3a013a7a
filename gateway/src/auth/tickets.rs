//! Tickets: `POST /v1/tickets`. A ticket opens one kind of stream for a minute,
//! for clients that cannot send headers: a browser's `EventSource` and
//! `WebSocket`. It stands in the URL, where a token must not.
//!
//! A stream that a ticket opened ends when the credential does that the ticket
//! was made with, and no ticket makes another one. Every gateway takes those of
//! all: they share the secret.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use broker::{Bucket, Expected, Key, Records};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use proto::{SessionId, UserId};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::keys::Role;
use super::{Bad, Verifier, expires_at, milliseconds, now};
use crate::caller::{Caller, Ends, Principal, Source};
use crate::document::refusals;
use crate::edge::{Edge, Shared};
use crate::extract;
use crate::problem::{Code, Refusal};

/// How long a ticket opens a stream.
const VALID: Duration = Duration::from_mins(1);
/// Its secret, among those that all gateways share.
const SECRET: &str = "tickets";
const SECRET_BYTES: usize = 32;
const ISSUER: &str = "weir";

/// What a ticket opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = TicketPurpose)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Purpose {
    /// `GET /v1/sessions/{session}/events`
    Events,
    /// `GET /chat`, as a WebSocket.
    Websocket,
    /// `GET /stream`
    Stream,
}

impl Purpose {
    fn audience(self) -> &'static str {
        match self {
            Self::Events => "weir:ticket:events",
            Self::Websocket => "weir:ticket:websocket",
            Self::Stream => "weir:ticket:stream",
        }
    }
}

/// What makes and reads tickets. The secret is fetched when it is first needed,
/// and made if there is none.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    signing: OnceCell<Signing>,
}

struct Signing {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing(..)")
    }
}

/// What a ticket says. Who can read it knows it already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    exp: u64,
    user: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// When the credential ends that it was made with, in milliseconds since the
    /// epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<u64>,
    /// The API key that it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Tickets {
    async fn signing(&self, edge: &Edge) -> Result<&Signing, Refusal> {
        let shared = async { Ok(secret(edge.broker.records.as_ref()).await?) };
        let made = self.signing.get_or_try_init(|| async {
            let secret = edge.within(shared).await?;
            Ok(Signing {
                encoding: EncodingKey::from_secret(&secret),
                decoding: DecodingKey::from_secret(&secret),
            })
        });
        made.await
    }
}

/// The secret that all gateways share.
async fn secret(records: &dyn Records) -> broker::Result<Bytes> {
    let key = Key::secret(SECRET);
    if let Some(found) = records.get(Bucket::Secrets, &key).await? {
        return usable(found.value);
    }
    let mut made = [0; SECRET_BYTES];
    let random = OsRng.try_fill_bytes(&mut made);
    random.map_err(|error| broker::Error::Unavailable(error.to_string()))?;
    let made = Bytes::copy_from_slice(&made);
    match records.put(Bucket::Secrets, &key, made.clone(), Expected::Absent).await {
        Ok(_) => Ok(made),
        // Another gateway was first.
        Err(broker::Error::Conflict) => {
            let found = records.get(Bucket::Secrets, &key).await?;
            usable(found.map(|it| it.value).unwrap_or_default())
        }
        Err(error) => Err(error),
    }
}

fn usable(secret: Bytes) -> broker::Result<Bytes> {
    if secret.len() == SECRET_BYTES {
        Ok(secret)
    } else {
        Err(broker::Error::Corrupt("the secret of tickets has another length".to_owned()))
    }
}

/// The body of `POST /v1/tickets`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TicketWanted)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    user_id: Option<String>,
    /// The one session that it is for.
    #[schema(min_length = 1, max_length = 128, example = "s1")]
    session_id: Option<String>,
    purpose: Purpose,
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ticket)]
#[serde(rename_all = "camelCase")]
struct Made {
    /// To stand in the URL as `ticket`.
    ticket: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Makes a ticket
///
/// It opens one kind of stream for a minute, for clients that cannot send a
/// credential: a browser's `EventSource` and `WebSocket`.
#[utoipa::path(
    post,
    path = "/v1/tickets",
    tag = "server",
    request_body(content = Body, example = json!({"userId": "u1", "sessionId": "s1", "purpose": "events"})),
    responses(
        (status = 201, description = "The ticket", body = Made),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn make(
    State(edge): Shared,
    caller: Caller,
    extract::Json(body): extract::Json<Body>,
) -> Result<Response, Refusal> {
    let session = body.session_id.as_deref().map(str::parse::<SessionId>).transpose();
    let session = session.map_err(|why| Refusal::field("sessionId", why))?;
    let user = caller.user(body.user_id.as_deref(), "userId")?;
    let signing = edge.tickets.signing(&edge).await?;
    let mut claims = claims(caller.principal(), &user, body.purpose);
    claims.session = session.map(|it| it.to_string());
    let ticket = encode(&Header::new(Algorithm::HS256), &claims, &signing.encoding);
    let ticket = ticket.map_err(|error| {
        tracing::error!(%error, "a ticket cannot be signed");
        Refusal::new(Code::Internal, "the ticket could not be made; the log says why")
    })?;
    let seconds = i64::try_from(claims.exp).unwrap_or(i64::MAX);
    let expires_at = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let mut response = (StatusCode::CREATED, Json(Made { ticket, expires_at })).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A ticket for a user, who is the principal or whom it may name. One for
/// somebody else opens his things only.
fn claims(principal: &Principal, user: &UserId, purpose: Purpose) -> Claims {
    let now = process::clock::now();
    let role = match principal.identity() {
        Some((own, role)) if own == user => role,
        Some(_) | None => Role::User,
    };
    let left = principal.ends().at.map(|it| it.saturating_duration_since(Instant::now()));
    let until = now + left.unwrap_or(VALID).min(VALID);
    Claims {
        iss: ISSUER.to_owned(),
        aud: purpose.audience().to_owned(),
        exp: until.as_secs(),
        user: user.to_string(),
        role,
        session: None,
        ends: left.map(|it| u64::try_from((now + it).as_millis()).unwrap_or(u64::MAX)),
        key: match principal.source() {
            Source::Key(id) => Some(id.to_string()),
            Source::Token | Source::Nothing => None,
        },
    }
}

/// Who has shown a ticket.
pub(super) async fn judge(
    edge: &Edge,
    ticket: &str,
    purpose: Purpose,
) -> Result<Result<Principal, Bad>, Refusal> {
    let signing = edge.tickets.signing(edge).await?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[purpose.audience()]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let decoded = decode::<Claims>(ticket, &signing.decoding, &validation);
    Ok(match decoded {
        Ok(token) => principal(&edge.config.auth, token.claims),
        Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => Err(Bad::Expired),
        Err(_other) => Err(Bad::Invalid("it is no ticket for this")),
    })
}

/// Whom a good ticket stands for, as long as the credential counts that it was
/// made with. Without one it was made where authentication is off, and counts
/// there only.
fn principal(verifier: &Verifier, claims: Claims) -> Result<Principal, Bad> {
    let mut role = claims.role;
    let user: UserId =
        claims.user.parse().map_err(|_why| Bad::Invalid("its user cannot be one"))?;
    let session = claims.session.as_deref().map(str::parse::<SessionId>).transpose();
    let session = session.map_err(|_why| Bad::Invalid("its session cannot be one"))?;
    let mut ends = Ends { at: claims.ends.map(expires_at), revoked: None };
    let source = match claims.key {
        Some(id) => {
            let entry = verifier.key(&id).ok_or(Bad::Invalid("its API key was taken back"))?;
            if entry.key.role == Role::User {
                role = Role::User;
                if entry.key.user != user {
                    return Err(Bad::Invalid("its API key has become somebody else's"));
                }
            }
            if entry.key.has_expired(now()) {
                return Err(Bad::Expired);
            }
            // The key may end earlier now than when the ticket was made.
            let expires = entry.key.expires.map(|it| expires_at(milliseconds(it)));
            ends.at = ends.at.into_iter().chain(expires).min();
            ends.revoked = Some(entry.revoked);
            Source::Key(Arc::from(id))
        }
        None if !verifier.is_on() => Source::Nothing,
        None if verifier.takes_tokens() && ends.at.is_some() => Source::Token,
        None => return Err(Bad::Invalid("it was made without a credential")),
    };
    Ok(Principal::known(user, role, ends).from(source).only(session))
}

#[cfg(test)]
mod tests;
