//! `GET /chat`: a WebSocket on one session of one user.
//!
//! Speaks the plain protocol of the systems that Weir replaces, or
//! `weir.v1.json` to who offers it: the native events as they are stored, and
//! commands. Every command goes the way of the route that does the same.
//! Refuses foreign pages before the upgrade; holds nothing that another gateway
//! would need, so that a client that is cut goes on anywhere.

mod command;
mod conversation;
pub(crate) mod handshake;
mod line;
mod pace;
mod speech;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use proto::SessionId;
use serde::Deserialize;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::access;
use crate::caller::{Caller, Owned};
use crate::dialect::plain::Plain;
use crate::document::words::Problem;
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Room, Shared};
use crate::extract::Query;
use crate::listen::Held;
use crate::problem::Refusal;
use conversation::Conversation;
use handshake::Handshake;
use line::Line;
use speech::Speech;
use speech::native::Lines;

/// The subprotocol of commands and native events.
const NATIVE: &str = "weir.v1.json";

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
    #[serde(rename = "sessionId")]
    session: Option<String>,
}

/// Opens a WebSocket
///
/// A text in is a question, texts out are the answer; with subprotocol
/// `weir.v1.json` commands and native events. docs/websocket.md has the contract.
#[utoipa::path(
    get,
    path = "/chat",
    tag = "compatible",
    params(parameters::Socket),
    responses(
        (status = 101, description = "The socket is open"),
        (status = 426, description = "The request asks for no WebSocket", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
    ),
)]
pub(crate) async fn open(
    State(edge): Shared,
    caller: Caller,
    Query(params): Query<Params>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let handshake = Handshake::of(&mut request)?;
    let session = params.session(&caller)?;
    let room = edge.stream(&session.user)?;
    let native = handshake.offers(NATIVE).then_some(NATIVE);
    let response = handshake.agree(native);
    let speech: Box<dyn Speech> = match native {
        Some(_) => Box::new(Lines::new(&session)),
        None => Box::new(Plain::new((*session).clone())),
    };
    let held = request.extensions_mut().remove::<Held>();
    let owner = Arc::clone(&edge);
    let conversation = access::carried(async move {
        converse(&owner, (session, room), handshake, speech).await;
        drop(held);
    });
    edge.life.spawn_as("sockets", conversation.in_current_span());
    Ok(response)
}

async fn converse(
    edge: &Arc<Edge>,
    taken: (Owned, Room),
    handshake: Handshake,
    speech: Box<dyn Speech>,
) {
    match handshake.upgrade.await {
        Ok(upgraded) => {
            let line = Line::new(upgraded, edge.config.body_timeout).await;
            Box::pin(Conversation::new(edge, taken, line, speech).hold()).await;
        }
        Err(error) => tracing::debug!(%error, "a socket did not come to be"),
    }
}

impl Params {
    /// The socket's session. Without a name it is a new one. Where nobody is
    /// known and no user is named, there is one for this socket alone: a name
    /// that all such sockets shared would make their sessions everybody's.
    fn session(&self, caller: &Caller) -> Result<Owned, Refusal> {
        let id = match self.session.as_deref() {
            Some(id) if !id.is_empty() => id.parse(),
            Some(_) | None => made().parse(),
        };
        let id: SessionId = id.map_err(|why| Refusal::field("sessionId", why))?;
        let named = |user: Option<&str>| caller.session(user, "userId", id.clone());
        match named(self.user.as_deref()) {
            Err(refusal) if self.user.is_none() && refusal.status() == StatusCode::BAD_REQUEST => {
                named(Some(&made()))
            }
            session => session,
        }
    }
}

fn made() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests;
