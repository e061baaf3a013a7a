//! Many streams on one connection, whose reader is busy for a while.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::Stream;
use futures::future::join_all;
use process::Lifecycle;
use proto::knowledge_agent_server::{KnowledgeAgent, KnowledgeAgentServer};
use proto::{CancelRequest, CancelResponse, Completed, ask_event};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response};

use super::*;
use crate::Times;

const STREAMS: usize = 200;
const PIECES: u32 = 400;
/// 60 bytes at most, with its frame.
const PIECE: &str = "a piece of text of some forty bytes, not more";

/// Says many small pieces, each in a frame of its own.
#[derive(Debug, Clone, Default)]
struct Chatty(Arc<AtomicU32>);

#[tonic::async_trait]
impl KnowledgeAgent for Chatty {
    type AskStream = Pin<Box<dyn Stream<Item = Result<AskEvent, Status>> + Send>>;

    async fn ask(&self, _: Request<AskRequest>) -> Result<Response<Self::AskStream>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let events = stream::iter(1..=PIECES + 1).then(async |index| {
            // Whoever is not ready at once is sent alone.
            tokio::task::yield_now().await;
            let kind = if index <= PIECES {
                ask_event::Kind::Text(PIECE.to_owned())
            } else {
                ask_event::Kind::Completed(Completed::default())
            };
            Ok(AskEvent { index, run: 1, kind: Some(kind) })
        });
        Ok(Response::new(events.boxed()))
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        Err(Status::unimplemented("nobody cancels here"))
    }
}

async fn bytes_left(asked: &mut Asked) -> usize {
    let mut bytes = 0;
    while let Some(said) = asked.events.next().await {
        match said.event.kind {
            Some(event::Kind::Text(text)) => bytes += text.len(),
            Some(event::Kind::Completed(_)) => return bytes,
            other => panic!("{other:?}"),
        }
    }
    panic!("a stream ended without an end");
}

#[tokio::test]
async fn two_hundred_streams_of_small_pieces_outlast_a_reader_that_pauses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (life, chatty) = (Lifecycle::new(), Chatty::default());
    let service = KnowledgeAgentServer::new(chatty.clone());
    life.serve("agent", async move {
        let server = tonic::transport::Server::builder()
            .initial_connection_window_size(32 << 20)
            .max_concurrent_streams(16_384)
            .add_service(service);
        server.serve_with_incoming(TcpListenerStream::new(listener)).await
    });
    let all = vec![Agent::url(&url).unwrap()];
    let agents = Arc::new(Agents::new(all, Times::default(), life.clone()));
    let asks = (0..STREAMS).map(async |number| {
        let session = Session::parse("u", &number.to_string()).unwrap();
        let mut asked = agents.ask(&session, AskRequest::default());
        let first = asked.events.next().await.unwrap();
        assert_eq!(first.event.index, 1);
        asked
    });
    let mut streams = join_all(asks).await;
    // Nothing is waited for here: the reader is busy elsewhere.
    sleep(Duration::from_millis(500)).await;
    let read = join_all(streams.iter_mut().map(bytes_left)).await;
    let expected = (PIECES as usize - 1) * PIECE.len();
    assert!(read.iter().all(|it| *it == expected), "{read:?}");
    assert_eq!(chatty.0.load(Ordering::Relaxed) as usize, STREAMS, "nobody had to ask again");
    life.abort();
}
