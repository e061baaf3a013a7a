//! The W3C Trace Context as texts: `traceparent` and `tracestate`, parsed by
//! the letter of the specification.
//!
//! A `traceparent` that is wrong is as good as none; a `tracestate` that is
//! wrong is left out. Pure. <https://www.w3.org/TR/trace-context/>

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header and metadata key of the place in the trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header and metadata key of what vendors add.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The most of a `tracestate` that is passed on, in bytes.
const MAX_STATE: usize = 512;
/// The most of a `tracestate` that is read at all, in bytes.
const MAX_READ: usize = 8 * 1024;
/// Members of a `tracestate`; more make it wrong.
const MAX_MEMBERS: usize = 32;
/// A member that is longer is the first to be left out, in bytes.
const LONG_MEMBER: usize = 128;
/// The key and the value of a member, in bytes.
const MAX_WORD: usize = 256;
/// A `traceparent` of the version that is written, in bytes.
const LENGTH: usize = 55;
/// The flags that have a meaning: sampled, random.
const FLAGS: u8 = 0x03;

/// A place in a trace: what the next hop has as its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    traceparent: String,
    tracestate: String,
}

impl Context {
    /// Reads both texts; `tracestate` may be empty. `None` when `traceparent`
    /// is not what the specification allows. One of a later version is taken as
    /// the version that is known here.
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let text = traceparent.trim_matches([' ', '\t']);
        let known = text.get(..LENGTH)?;
        let mut parts = known.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        let whole = match version {
            "00" => text.len() == LENGTH,
            "ff" => false,
            _ => text.len() == LENGTH || text.as_bytes()[LENGTH] == b'-',
        };
        let fits = whole
            && hex(version, 2)
            && hex(trace, 32)
            && hex(span, 16)
            && hex(flags, 2)
            && parts.next().is_none();
        if !fits || zero(trace) || zero(span) {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()? & FLAGS;
        let traceparent = format!("00-{trace}-{span}-{flags:02x}");
        Some(Self { traceparent, tracestate: state(tracestate).unwrap_or_default() })
    }

    /// Reads them from the headers of a request, or the metadata of a call.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let (parent, None) = (parents.next()?, parents.next()) else {
            return None;
        };
        let mut states = Vec::new();
        for state in headers.get_all(TRACESTATE) {
            // What cannot be read makes all of it wrong.
            states.push(state.to_str().unwrap_or("="));
        }
        Self::parse(parent.to_str().ok()?, &states.join(","))
    }

    /// Writes them into the headers of a request, or the metadata of a call, in
    /// the place of others.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.remove(TRACESTATE);
        if let Ok(parent) = HeaderValue::from_str(&self.traceparent) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Ok(state) = HeaderValue::from_str(&self.tracestate)
            && !self.tracestate.is_empty()
        {
            headers.insert(TRACESTATE, state);
        }
    }

    /// `00-<trace id>-<span id>-<flags>`.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// At most 512 bytes; empty when there is none.
    pub fn tracestate(&self) -> &str {
        &self.tracestate
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.traceparent[3..35]
    }

    /// The id of the span that is the next one's parent: 16 digits.
    pub(crate) fn span_id(&self) -> &str {
        &self.traceparent[36..52]
    }

    pub(crate) fn flags(&self) -> u8 {
        u8::from_str_radix(&self.traceparent[53..], 16).unwrap_or_default()
    }
}

fn hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

fn zero(text: &str) -> bool {
    text.bytes().all(|it| it == b'0')
}

/// The members of a `tracestate` that are passed on; `None` when it is wrong.
fn state(text: &str) -> Option<String> {
    if text.len() > MAX_READ {
        return None;
    }
    let members = text.split(',').map(|it| it.trim_matches([' ', '\t']));
    let mut members: Vec<_> = members.filter(|it| !it.is_empty()).collect();
    let keys = members.iter().map(|it| key(it)).collect::<Option<Vec<_>>>()?;
    let twice = keys.iter().enumerate().any(|(at, it)| keys[..at].contains(it));
    if members.len() > MAX_MEMBERS || twice {
        return None;
    }
    while members.iter().map(|it| it.len() + 1).sum::<usize>() > MAX_STATE + 1 {
        let long = members.iter().rposition(|it| it.len() > LONG_MEMBER);
        // The oldest ones stand last.
        members.remove(long.unwrap_or(members.len() - 1));
    }
    Some(members.join(","))
}

/// The key of a member, if the member is one.
fn key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let first = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let more = |it: u8| first(it) || b"_-*/@".contains(&it);
    let named = key.bytes().next().is_some_and(first) && key.bytes().all(more);
    let plain = |it: u8| matches!(it, b' '..=b'~') && it != b'=';
    let valued = !value.is_empty() && value.bytes().all(plain);
    (named && valued && key.len() <= MAX_WORD && value.len() <= MAX_WORD).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn parent(version: &str, flags: &str) -> String {
        format!("{version}-{TRACE}-{SPAN}-{flags}")
    }

    #[test]
    fn a_parent_is_taken_by_the_letter_of_the_specification() {
        let written = |flags: &str| Some(parent("00", flags));
        for (text, expected) in [
            (parent("00", "01"), written("01")),
            (parent("00", "00"), written("00")),
            (format!(" {}\t", parent("00", "01")), written("01")),
            // Flags without a meaning here are not passed on.
            (parent("00", "ff"), written("03")),
            (parent("01", "09"), written("01")),
            (format!("{}-more", parent("cc", "01")), written("01")),
            (format!("{}.more", parent("cc", "01")), None),
            (format!("{}-more", parent("00", "01")), None),
            (parent("ff", "01"), None),
            (parent("0", "01"), None),
            (parent("00", "1"), None),
            (parent("00", "0g"), None),
            (parent("0G", "01"), None),
            (parent("00", "01").to_uppercase(), None),
            (format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{TRACE}{SPAN}--01"), None),
            (format!("00_{TRACE}_{SPAN}_01"), None),
            ("00-é".repeat(20), None),
            (String::new(), None),
        ] {
            let read = Context::parse(&text, "").map(|it| it.traceparent().to_owned());
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn a_state_is_passed_on_within_its_bound_or_not_at_all() {
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|it| format!("k{it}=v")).collect();
            members.join(",")
        };
        let long = format!("long={}", "x".repeat(200));
        for (text, expected) in [
            ("a=1,b=2".to_owned(), "a=1,b=2".to_owned()),
            (" a=1 ,\t, t@v=x y ".to_owned(), "a=1,t@v=x y".to_owned()),
            (many(32), many(32)),
            (many(33), String::new()),
            ("a=1,a=2".to_owned(), String::new()),
            ("A=1".to_owned(), String::new()),
            ("a".to_owned(), String::new()),
            ("a=".to_owned(), String::new()),
            ("a=1=2".to_owned(), String::new()),
            ("a=\u{e9}".to_owned(), String::new()),
            ("a=1\r\nx: y".to_owned(), String::new()),
            (format!("{}=1", "k".repeat(257)), String::new()),
            // What is long goes first, then what is old.
            (format!("{long},b={}", "y".repeat(250)), format!("{long},b={}", "y".repeat(250))),
            (
                format!("{long},b={0},c={0}", "y".repeat(250)),
                format!("{long},b={}", "y".repeat(250)),
            ),
        ] {
            let read = Context::parse(&parent("00", "01"), &text).unwrap();
            assert_eq!(read.tracestate(), expected, "{text:?}");
            assert!(read.tracestate().len() <= MAX_STATE);
        }
        assert_eq!(state(&"a".repeat(MAX_READ + 1)), None);
    }

    #[test]
    fn headers_carry_both_and_two_parents_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Context::of(&headers), None);
        let context = Context::parse(&parent("00", "01"), "a=1,b=2").unwrap();
        headers.append("tracestate", HeaderValue::from_static("old=1"));
        context.write(&mut headers);
        assert_eq!(Context::of(&headers), Some(context.clone()));
        assert_eq!((context.trace_id(), context.span_id(), context.flags()), (TRACE, SPAN, 1));

        headers.append("tracestate", HeaderValue::from_static("c=3"));
        assert_eq!(Context::of(&headers).unwrap().tracestate(), "a=1,b=2,c=3");
        headers.append("tracestate", HeaderValue::from_bytes(b"d=\xff").unwrap());
        assert_eq!(Context::of(&headers).unwrap().tracestate(), "");
        headers.append("traceparent", HeaderValue::from_static("00"));
        assert_eq!(Context::of(&headers), None);
    }
}
