//! Sockets of a user who is known, until he no longer is.

use std::time::Duration;

use axum::Router;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use futures::{SinkExt as _, StreamExt as _};
use process::Lifecycle;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::caller::{Ends, Principal, Role};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server on which everybody is this user.
struct Server {
    life: Lifecycle,
    url: String,
    revoked: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.life.abort();
    }
}

impl Server {
    async fn of(user: &str) -> Self {
        let revoked = CancellationToken::new();
        let ends = Ends { at: None, revoked: Some(revoked.clone()) };
        let who = Principal::known(user.parse().unwrap(), Role::User, ends);
        let limits = broker::Limits::default();
        let broker = broker::sqlite::open(broker::sqlite::Place::Memory, limits).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let (life, config) = (Lifecycle::new(), crate::Config::default());
        let edge = Edge::new(config.clone(), broker, life.clone(), local);
        let known = from_fn(move |mut request: Request, next: Next| {
            request.extensions_mut().insert(who.clone());
            next.run(request)
        });
        let router = Router::new().route("/chat", get(open)).layer(known).with_state(edge);
        let running = life.clone();
        life.spawn(async move {
            crate::listen::run(&config, listener, router, &running).await;
        });
        Self { life, url: format!("ws://{local}/chat"), revoked }
    }

    /// What a socket hears until its end, and the code of that.
    async fn hear(&self, protocol: Option<&'static str>, end: bool) -> (Vec<String>, CloseCode) {
        let mut request = self.url.as_str().into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        let (mut socket, _) = connect_async(request).await.unwrap();
        if protocol.is_some() {
            socket.send(Message::text(json!({"type": "ping"}).to_string())).await.unwrap();
        }
        if end {
            self.revoked.cancel();
        }
        let mut heard = Vec::new();
        loop {
            let next = timeout(PATIENCE, socket.next()).await.unwrap();
            match next.unwrap().unwrap() {
                Message::Close(close) => return (heard, close.unwrap().code),
                Message::Text(text) => heard.push(text.to_string()),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_credential_and_says_so() {
    let server = Server::of("ann").await;
    let (heard, code) = server.hear(Some(NATIVE), true).await;
    assert_eq!(code, CloseCode::Policy);
    let heard: Vec<Value> = heard.iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(heard[0]["data"]["userId"], "ann");
    let session = &heard[0]["data"]["sessionId"];
    let last = heard.last().unwrap();
    assert_eq!((&last["event"], &last["data"]["sessionId"]), (&json!("auth_expired"), session));
    let server = Server::of("ann").await;
    let (heard, code) = server.hear(None, true).await;
    assert_eq!(
        (heard, code),
        (vec!["Error: the credential has ended".to_owned()], CloseCode::Policy)
    );
}

#[tokio::test]
async fn a_known_user_cannot_name_another() {
    let server = Server::of("ann").await;
    let named = format!("{}?userId=bob", server.url);
    let error = connect_async(named).await.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
}
