//! Frames of HTTP/2 that cost their sender nothing: the connection is told to
//! go away, and others are served.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

use crate::harness::{Edge, PATIENCE};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// `POST /chat` over http to localhost, with a JSON body.
const HEAD: &[u8] = b"\x83\x86\x44\x05/chat\x41\x09localhost\x5f\x10application/json";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The reason of the server's GOAWAY.
async fn reason(mut read: OwnedReadHalf) -> u32 {
    loop {
        let mut head = [0; 9];
        read.read_exact(&mut head).await.expect("a GOAWAY comes before the end");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        read.read_exact(&mut payload).await.unwrap();
        if head[3] == GOAWAY {
            return u32::from_be_bytes(payload[4..8].try_into().unwrap());
        }
    }
}

/// Sends what begins, then pieces until the server has had enough; others are
/// served before, meanwhile and after.
async fn flood(begin: &[u8], piece: impl Fn(u32) -> Vec<u8> + Sync) {
    let edge = Edge::start().await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (read, mut write) = stream.into_split();
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), begin].concat();
    write.write_all(&begin).await.unwrap();
    let send = async {
        let mut next = 0;
        loop {
            let pieces: Vec<_> = (next..next + 100).flat_map(&piece).collect();
            next += 100;
            if write.write_all(&pieces).await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    let others = async {
        loop {
            assert_eq!(edge.get("/healthz").send().await.unwrap().status(), 200);
        }
    };
    let ended = timeout(PATIENCE, async {
        tokio::select! {
            reason = reason(read) => reason,
            () = send => unreachable!("it goes on until the end"),
            () = others => unreachable!("it goes on until the end"),
        }
    });
    assert_eq!(ended.await.expect("it is ended"), ENHANCE_YOUR_CALM);
    assert_eq!(edge.get("/healthz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    flood(&[], |piece| {
        let stream = 2 * piece + 1;
        let open = frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD);
        [open, frame(RST_STREAM, 0, stream, &CANCEL)].concat()
    })
    .await;
}

#[tokio::test]
async fn a_head_that_goes_on_and_on_ends_its_connection() {
    let begin = frame(HEADERS, END_STREAM, 1, HEAD);
    flood(&begin, |_| frame(CONTINUATION, 0, 1, &[])).await;
}

#[tokio::test]
async fn data_frames_without_data_end_their_connection() {
    let begin = frame(HEADERS, END_HEADERS, 1, HEAD);
    flood(&begin, |_| frame(DATA, 0, 1, &[])).await;
}
