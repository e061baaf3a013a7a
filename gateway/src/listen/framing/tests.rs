//! Heads, bodies and trailers in every cut.

use super::*;

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\n";
const LENGTH_4: &str = "Content-Length: 4\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";
const TWICE: &str = "content-length: 1\r\ncontent-length: 1\r\n";

/// The first request that is ambiguous, however the bytes come.
fn first_ambiguous(requests: &str, most: usize) -> Option<usize> {
    let found = [1, 2, 3, 7, requests.len()].map(|piece| {
        let mut framing = Framing::default();
        for bytes in requests.as_bytes().chunks(piece) {
            framing.read(bytes);
        }
        let verdict = framing.verdict();
        (0..most).find(|_| verdict.next_is_ambiguous())
    });
    assert!(found.iter().all(|it| *it == found[0]), "{found:?} {requests}");
    found[0]
}

#[test]
fn two_statements_of_length_in_one_head_are_noticed() {
    for (head, expected) in [
        (format!("{POST}{LENGTH_4}\r\nbody"), None),
        (format!("{POST}{CHUNKED}\r\n0\r\n\r\n"), None),
        (format!("{POST}X-Content-Length: 4\r\n{CHUNKED}\r\n0\r\n\r\n"), None),
        (format!("{POST}Content-Length-X: 4\r\n{CHUNKED}\r\n0\r\n\r\n"), None),
        (format!("{POST}{LENGTH_4}{CHUNKED}\r\n"), Some(0)),
        (format!("{POST}{CHUNKED}{LENGTH_4}\r\n"), Some(0)),
        (format!("{POST}{LENGTH_4}{LENGTH_4}\r\n"), Some(0)),
        (format!("{POST}{CHUNKED}{CHUNKED}\r\n"), Some(0)),
        (format!("\r\n{POST}{LENGTH_4}X: y\r\n{LENGTH_4}\r\n"), Some(0)),
    ] {
        assert_eq!(first_ambiguous(&head, 1), expected, "{head}");
    }
}

#[test]
fn no_body_and_no_trailer_speaks_for_a_request() {
    let length = TWICE.len();
    for request in [
        format!("{POST}Content-Length: {length}\r\n\r\n{TWICE}"),
        format!("{POST}Content-Length: {}\r\n\r\n\r\n{TWICE}", length + 2),
        format!("{POST}{CHUNKED}\r\n{length:x}\r\n{TWICE}\r\n0\r\n\r\n"),
        format!("{POST}{CHUNKED}\r\n{length:X};a=b;4\r\n{TWICE}\r\n000\r\n{TWICE}\r\n"),
        format!("{POST}{CHUNKED}\r\n4 \r\nbody\r\n0\r\n\r\n"),
        format!("{POST}\r\n"),
    ] {
        let ambiguous = format!("{POST}{TWICE}\r\n");
        let good = format!("{request}{request}{POST}{LENGTH_4}\r\nbody");
        assert_eq!(first_ambiguous(&good, 3), None, "{good}");
        let bad = format!("{request}\r\n{request}{ambiguous}");
        assert_eq!(first_ambiguous(&bad, 3), Some(2), "{bad}");
    }
}

#[test]
fn a_length_that_is_no_number_ends_nothing_early() {
    let most = format!("{POST}Content-Length: {}\r\n\r\n{POST}{TWICE}\r\n", "9".repeat(40));
    assert_eq!(first_ambiguous(&most, 2), None);
    let most = format!("{POST}{CHUNKED}\r\n{}\r\n{POST}{TWICE}\r\n", "f".repeat(40));
    assert_eq!(first_ambiguous(&most, 2), None);
}

#[test]
fn what_follows_an_upgrade_is_not_read() {
    let mut framing = Framing::default();
    framing.verdict().over();
    framing.read(format!("{POST}{TWICE}\r\n").as_bytes());
    assert!(!framing.verdict().next_is_ambiguous());
}
