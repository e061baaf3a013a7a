//! The edge with a certificate: the same HTTP in TLS, and nothing beside it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use gateway::{Config, PROTOCOLS};
use http::Request;
use testkit::nats::Authority;
use tls::{Identity, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use crate::harness::{Edge, Frames, PATIENCE, closed, raw};

const SOON: Duration = Duration::from_millis(400);
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";

/// An edge with a certificate, and who vouches for it.
struct Secured {
    edge: Edge,
    authority: Authority,
    identity: Identity,
}

impl Secured {
    async fn with(config: Config) -> Self {
        let authority = Authority::new().unwrap();
        let (chain, key) = authority.vouch("edge").unwrap();
        let identity = Identity { chain, key };
        let tls = Some(tls::Server::open(identity.clone(), None, PROTOCOLS).unwrap());
        let mut edge = Edge::with(Config { tls, ..config }).await;
        let ca = std::fs::read(authority.ca()).unwrap();
        let ca = reqwest::Certificate::from_pem(&ca).unwrap();
        edge.http = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
        Self { edge, authority, identity }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.edge.address.port())
    }

    /// A connection of a client that offers these protocols.
    async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let client = tls::Client::open(Some(self.authority.ca()), None, protocols).unwrap();
        let stream = TcpStream::connect(self.edge.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        client.connect(name, stream).await.unwrap()
    }

    /// Sends bytes as they are, and reads until the server closes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect(&[]).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn ask(&self, input: &str) {
        let body = serde_json::json!({ "userId": "u", "input": input });
        let request = self.edge.http.post(self.url("/v1/sessions/s/turns")).json(&body);
        let response = request.header("prefer", "respond-async").send().await.unwrap();
        assert_eq!(response.status(), 202);
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn first_certificate(file: &PathBuf) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(file).unwrap().to_vec()
}

#[tokio::test]
async fn a_turn_is_asked_and_followed_in_tls_with_either_http() {
    let secured = Secured::with(Config::default()).await;
    secured.ask("Why?").await;
    let events = "/v1/sessions/s/events?userId=u&after=start";
    let response = secured.edge.http.get(secured.url(events)).send().await.unwrap();
    let mut followed = Frames::of(response);

    let stream = secured.connect(PROTOCOLS).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    secured.edge.life.spawn(async move { drop(connection.await) });
    let request = Request::get(secured.url(events)).body(()).unwrap();
    let mut requests = requests.ready().await.unwrap();
    let (response, _) = requests.send_request(request, true).unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);

    let mut work = secured.edge.work().await;
    work.text("Because").await;
    work.complete().await;
    let frames = followed.until("completed").await;
    assert!(frames.iter().any(|it| it.data["text"] == "Because"), "{frames:?}");
    let mut body = response.into_body();
    let mut text = String::new();
    while !text.contains("event: completed") {
        let chunk: Bytes = timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.contains("Because"), "{text}");
}

#[tokio::test]
async fn a_client_without_tls_or_with_another_protocol_is_hung_up_on() {
    let secured = Secured::with(Config::default()).await;
    for plain in [format!("{HEALTH}\r\n"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()] {
        let mut stream = TcpStream::connect(secured.edge.address).await.unwrap();
        stream.write_all(plain.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!((read.unwrap(), answer), (0, Vec::new()), "it ends, and does not break");
    }
    let ca = Some(secured.authority.ca());
    let client = tls::Client::open(ca, None, &[b"smtp"]).unwrap();
    let stream = TcpStream::connect(secured.edge.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let error = client.connect(name, stream).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    // A message out of its order is told so, in TLS's own words, and no more.
    let out_of_order = b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00";
    assert!(raw(secured.edge.address, out_of_order).await.len() < 16);
}

#[tokio::test]
async fn what_is_refused_below_a_handler_is_refused_in_tls_alike() {
    let secured = Secured::with(Config::default()).await;
    let close = "Connection: close\r\n";
    let framed = "POST /v1/sessions/s/turns HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
                  Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (request, status) in [
        (format!("{HEALTH}{close}\r\n"), 200),
        (framed.to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\n", "y".repeat(70_000)), 431),
    ] {
        let answer = secured.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let problem = answer.contains("content-type: application/problem+json\r\n");
        assert_eq!(problem, status != 200, "{answer}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    let secured = Secured::with(Config::default()).await;
    let mut old = secured.connect(&[]).await;
    let certificate = first_certificate(&secured.identity.chain);
    assert_eq!(shown(&old), certificate);
    secured.authority.vouch("edge").unwrap();
    let renewed = first_certificate(&secured.identity.chain);
    assert_ne!(renewed, certificate);
    let replaced = async {
        while shown(&secured.connect(&[]).await) != renewed {
            tokio::time::sleep(SOON / 4).await;
        }
    };
    timeout(PATIENCE, replaced).await.expect("the new certificate is shown");
    old.write_all(format!("{HEALTH}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, old.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn handshakes_that_stall_are_cut_in_time_and_hold_up_nobody() {
    let config = Config { head_timeout: SOON * 4, ..Config::default() };
    let secured = Secured::with(config).await;
    let mut open = Vec::new();
    for number in 0..50 {
        let mut stream = TcpStream::connect(secured.edge.address).await.unwrap();
        // The beginning of a hello that does not go on.
        let begun: &[u8] = if number % 2 == 0 { b"" } else { b"\x16\x03\x01\x02\x00\x01" };
        stream.write_all(begun).await.unwrap();
        open.push(stream);
    }
    let served = Instant::now();
    let answer = secured.raw(&format!("{HEALTH}Connection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(served.elapsed() < SOON * 4, "nobody waits until they are cut");
    for stream in &mut open {
        assert_eq!(closed(stream).await, "");
    }
    // One that shakes hands and asks nothing has no more time than others.
    let mut idle = secured.connect(&[]).await;
    let mut nothing = Vec::new();
    let _broken = timeout(PATIENCE, idle.read_to_end(&mut nothing)).await.expect("it is cut");
    assert!(nothing.is_empty(), "{nothing:?}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_in_tls_is_let_go() {
    // Long enough for a reader that does read, on a busy machine.
    let config = Config { write_timeout: SOON * 3, ..Config::default() };
    let secured = Secured::with(config).await;
    let mut stream = secured.connect(&[]).await;
    let head = "GET /v1/sessions/s/events?userId=u&after=start HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    secured.ask("Why?").await;
    let mut work = secured.edge.work().await;
    let long = "x".repeat(400 * 1024);
    for _ in 0..30 {
        work.text(&long).await;
    }
    work.complete().await;
    let response = secured.edge.http.get(secured.url("/v1/sessions/s/events?userId=u&after=start"));
    let whole = Frames::of(response.send().await.unwrap()).until("completed").await;
    assert_eq!(whole.len(), 32);
    let gone = async {
        while stream.write_all(b"\r\n").await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(SOON / 10).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the server lets go");
    let mut got = Vec::new();
    let _broken = timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("it ends");
    assert!(got.len() < 30 * long.len(), "{}", got.len());
    assert!(!got.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn a_quiet_stream_in_tls_whose_reader_takes_nothing_of_its_comments_is_let_go() {
    // What TLS holds back would take minutes to fill with comments.
    let config = Config {
        write_timeout: SOON * 3,
        keep_alive: Duration::from_millis(1),
        socket_bytes: 1024,
        ..Config::default()
    };
    let secured = Secured::with(config).await;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    socket.connect(&secured.edge.address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(socket.into()).unwrap();
    let client = tls::Client::open(Some(secured.authority.ca()), None, &[]).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = client.connect(name, stream).await.unwrap();
    let head = "GET /v1/sessions/s/events?userId=u&after=start HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let gone = async {
        while stream.write_all(b"\r\n").await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(SOON / 10).await;
        }
    };
    timeout(PATIENCE * 2, gone).await.expect("the server lets go");
}
