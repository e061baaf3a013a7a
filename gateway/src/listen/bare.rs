//! What the HTTP library answers by itself to a request that it cannot read: a
//! bare head, right before it closes. Made a problem document here, as handlers
//! never see such a request.

use crate::problem::{Code, Refusal};

const LENGTH: &str = "content-length: 0\r\n";
const HEADERS: &str = "content-type: application/problem+json\r\ncache-control: no-store\r\n\
                       x-content-type-options: nosniff\r\n";

/// The answer in place of a bare refusal; `None` for all other bytes. Those of
/// a body never look like one: JSON has no line breaks in its texts.
pub(super) fn document(bytes: &[u8]) -> Option<Vec<u8>> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let (code, detail) = match status {
        b"400" => (
            Code::InvalidRequest,
            "the request cannot be read, or states the length of its body badly",
        ),
        b"414" => (Code::UriTooLong, "the URI is far too long"),
        b"431" => (Code::HeadTooLarge, "the request head has too many lines or is too long"),
        _other => return None,
    };
    let head = std::str::from_utf8(bytes).ok()?;
    let head = head.strip_suffix("\r\n\r\n").map(|_| head)?;
    let (before, after) = head.split_once(LENGTH)?;
    let body = Refusal::new(code, detail).to_json();
    let length = body.len();
    let mut answer = format!("{before}{HEADERS}content-length: {length}\r\n{after}").into_bytes();
    answer.extend(body);
    Some(answer)
}
