//! The WebSocket: both protocols, spoken by another implementation's client or
//! by hand, and by a real browser.

mod browser;
mod ending;
mod hostile;
mod native;
mod plain;

use futures::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::{Edge, PATIENCE};

const NATIVE: &str = "weir.v1.json";

/// A client of a socket.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// A plain client of session `s` of user `u`.
    pub(crate) async fn plain(edge: &Edge) -> Self {
        Self::open(edge, "?userId=u&sessionId=s", &[]).await.unwrap()
    }

    /// One of the native protocol, after its greeting.
    async fn native(edge: &Edge) -> Self {
        let headers = [("sec-websocket-protocol", NATIVE)];
        let mut client = Self::open(edge, "?userId=u&sessionId=s", &headers).await.unwrap();
        let greeting = client.event().await;
        assert_eq!(greeting["event"], "session");
        assert_eq!(greeting["data"], json!({"userId": "u", "sessionId": "s"}));
        client
    }

    async fn open(
        edge: &Edge,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Box<Error>> {
        let url = format!("ws://{}/chat{query}", edge.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let opening = timeout(PATIENCE, connect_async(request)).await;
        let (socket, _) = opening.expect("the server answers").map_err(Box::new)?;
        Ok(Self { socket })
    }

    async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    async fn command(&mut self, command: Value) {
        self.say(&command.to_string()).await;
    }

    /// The next message or its end; pings are answered on the way.
    async fn next(&mut self) -> Result<Message, CloseCode> {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await.expect("something comes");
            match next.expect("the end is said before it comes").unwrap() {
                Message::Ping(_) => {}
                Message::Close(frame) => return Err(frame.expect("the end has a reason").code),
                message @ (Message::Text(_)
                | Message::Binary(_)
                | Message::Pong(_)
                | Message::Frame(_)) => return Ok(message),
            }
        }
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        self.next().await.unwrap().into_text().unwrap().to_string()
    }

    /// Texts until they make this one.
    async fn whole(&mut self, expected: &str) {
        let mut text = String::new();
        while text != expected {
            text.push_str(&self.text().await);
            assert!(expected.starts_with(&text), "{text:?} is not {expected:?}");
        }
    }

    async fn event(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Events up to and with the first of this kind.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            events.push(self.event().await);
            if events.last().is_some_and(|it| it["event"] == kind) {
                return events;
            }
        }
    }

    /// The code with which the server ends it.
    async fn end(&mut self) -> CloseCode {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

/// The status with which an upgrade is refused.
async fn refused(edge: &Edge, query: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
    let error = Client::open(edge, query, headers).await.err().expect("it is refused");
    let Error::Http(response) = *error else { panic!("{error}") };
    let body = response.body().as_deref().unwrap_or_default();
    (response.status().as_u16(), String::from_utf8_lossy(body).into_owned())
}
