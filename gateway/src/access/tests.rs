//! What the log says of requests, read from the log itself.

use std::io::Write;
use std::sync::Mutex;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tracing::subscriber::DefaultGuard;

use super::*;

/// Lines that were written while it lived.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn at(level: tracing::Level) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn router(life: &Lifecycle) -> Router {
    let endless = async || {
        let first = futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("12345")) });
        Body::from_stream(first.chain(futures::stream::pending()))
    };
    let torn = async || {
        let failed = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("torn"))]);
        Body::from_stream(failed)
    };
    let ask = async || {
        made(TurnId::new());
        request_id().unwrap()
    };
    Router::new()
        .route("/v1/sessions/{session}", get("whole").post(ask))
        .route("/endless", get(endless))
        .route("/torn", get(torn))
        .route("/never", post(std::future::pending::<()>))
        .route("/healthz", get("ok"))
        .layer(from_fn_with_state(life.clone(), observe))
}

fn request(method: &str, uri: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(uri)
}

async fn answer(life: &Lifecycle, request: http::request::Builder) -> Response {
    router(life).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_request_is_told_by_its_route_and_without_anything_secret() {
    let (log, _on) = Log::at(tracing::Level::INFO);
    let asked = request("POST", "/v1/sessions/sess-marker?ticket=tick-marker&userId=user-marker")
        .header("authorization", "Bearer auth-marker")
        .header("cookie", "c=cookie-marker")
        .header("user-agent", "curl/8")
        .header("x-request-id", "mine:1")
        .extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 7))));
    let response = answer(&Lifecycle::new(), asked).await;
    assert_eq!(response.headers()["x-request-id"], "mine:1");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "mine:1", "handlers know the name, too");
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains("marker"), "{text}");
    for part in [
        " INFO gateway::access: request request.id=\"mine:1\" http.method=\"POST\" \
         http.route=\"/v1/sessions/{session}\" http.status=200 http.version=\"1.1\" \
         ended=\"complete\" seconds=",
        " first_byte=",
        " bytes=6 peer=127.0.0.1:7 turn.id=",
        " agent=\"curl/8\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn what_is_at_no_route_is_told_without_its_path() {
    let (log, _on) = Log::at(tracing::Level::INFO);
    let response = answer(&Lifecycle::new(), request("BREW", "/v1/pots/marker")).await;
    drop(response);
    let text = log.text();
    assert!(
        text.contains("http.method=\"other\" http.route=\"unmatched\" http.status=404"),
        "{text}"
    );
    assert!(!text.contains("marker"), "{text}");
}

#[tokio::test]
async fn the_end_of_a_request_says_who_ended_it() {
    let ended = async |life: &Lifecycle, method, uri| {
        let (log, _on) = Log::at(tracing::Level::INFO);
        let response = answer(life, request(method, uri)).await;
        let mut body = response.into_body();
        let _one = tokio::time::timeout(Duration::from_secs(5), body.frame()).await.unwrap();
        drop(body);
        log.text()
    };
    let life = Lifecycle::new();
    let whole = ended(&life, "GET", "/v1/sessions/s").await;
    assert!(whole.contains("ended=\"complete\"") && whole.contains("bytes=5\n"), "{whole}");
    let head = ended(&life, "HEAD", "/endless").await;
    assert!(head.contains("ended=\"complete\""), "{head}");
    let left = ended(&life, "GET", "/endless").await;
    assert!(left.contains("ended=\"left\"") && left.contains("bytes=5\n"), "{left}");
    let torn = ended(&life, "GET", "/torn").await;
    assert!(torn.contains("ended=\"cut\"") && torn.contains("bytes=0\n"), "{torn}");
    life.drain();
    let drained = ended(&life, "GET", "/endless").await;
    assert!(drained.contains("ended=\"cut\""), "{drained}");
}

#[tokio::test]
async fn who_leaves_before_an_answer_is_told_too() {
    let (log, _on) = Log::at(tracing::Level::INFO);
    let life = Lifecycle::new();
    let mut waiting = Box::pin(answer(&life, request("POST", "/never")));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    let text = log.text();
    assert!(text.contains("ended=\"left\"") && !text.contains("http.status"), "{text}");
}

#[tokio::test]
async fn questions_about_health_are_told_to_those_who_debug() {
    for (level, lines) in [(tracing::Level::INFO, 0), (tracing::Level::DEBUG, 1)] {
        let (log, _on) = Log::at(level);
        drop(answer(&Lifecycle::new(), request("GET", "/healthz")).await);
        assert_eq!(log.text().lines().count(), lines);
    }
}

#[tokio::test]
async fn what_a_client_calls_itself_is_bounded_and_cannot_write_lines_or_move_the_cursor() {
    let (log, _on) = Log::at(tracing::Level::INFO);
    let hostile = "a\u{85}b\u{9b}31mc\u{2028}d\t\"e\u{202e}f".to_owned() + &"x".repeat(4000);
    let hostile = HeaderValue::from_bytes(hostile.as_bytes()).unwrap();
    drop(answer(&Lifecycle::new(), request("GET", "/torn").header("user-agent", hostile)).await);
    let text = log.text();
    assert!(text.len() < 600, "{text}");
    let plain = |c: char| c == '\n' || (' '..='~').contains(&c);
    assert!(text.chars().all(plain) && text.lines().count() == 1, "{text:?}");

    // No header can hold these; the log would not be fooled by them either.
    let mut seen = Seen::of(&request("GET", "/torn").body(Body::empty()).unwrap());
    seen.agent = Some("a\r\n2026-01-01 INFO gateway: forged \u{1b}[2J\u{7}".to_owned());
    let (log, _on) = Log::at(tracing::Level::INFO);
    drop(Record::new(Arc::new(seen), Lifecycle::new()));
    let text = log.text();
    assert!(text.chars().all(plain) && text.lines().count() == 1, "{text:?}");
}
