//! The only file that spells a subject.
//!
//! An id of `[A-Za-z0-9_-]`, at most 64 bytes, stands for itself; every other
//! id is `=` and its unpadded base64url. No id can put a `.`, `*`, `>` or white
//! space on the wire, and no two ids share a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto::{Session, UserId};

const PLAIN_BYTES: usize = 64;

/// The token that stands for a text.
pub(crate) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !text.is_empty() && text.len() <= PLAIN_BYTES && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("={}", URL_SAFE_NO_PAD.encode(text))
}

/// The text that a token stands for; `None` for what [`encode`] never makes.
pub(crate) fn decode(token: &str) -> Option<String> {
    let text = match token.strip_prefix('=') {
        None => token.to_owned(),
        Some(coded) => String::from_utf8(URL_SAFE_NO_PAD.decode(coded).ok()?).ok()?,
    };
    (encode(&text) == token).then_some(text)
}

/// Where a session's jobs are stored.
pub(crate) fn jobs(session: &Session) -> String {
    subject("jobs", session)
}

/// Where the jobs of all sessions of a user are stored.
pub(crate) fn jobs_of(user: &UserId) -> String {
    format!("jobs.{}.*", encode(user.as_str()))
}

/// Where a session's entries are stored.
pub(crate) fn log(session: &Session) -> String {
    subject("log", session)
}

/// Where a session's stored entries are heard.
pub(crate) fn live(session: &Session) -> String {
    subject("live", session)
}

fn subject(root: &str, session: &Session) -> String {
    format!("{root}.{}.{}", encode(session.user.as_str()), encode(session.id.as_str()))
}

/// The session that a subject under any root names.
pub(crate) fn session(subject: &str) -> Option<Session> {
    let mut tokens = subject.split('.').skip(1);
    let (user, id) = (tokens.next()?, tokens.next()?);
    if tokens.next().is_some() {
        return None;
    }
    Session::parse(&decode(user)?, &decode(id)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(user: &str, id: &str) -> Session {
        Session::parse(user, id).unwrap()
    }

    #[test]
    fn plain_ids_stand_for_themselves() {
        assert_eq!(log(&of("test_user", "a-1")), "log.test_user.a-1");
    }

    #[test]
    fn ids_that_mean_something_to_the_broker_are_coded() {
        for id in ["a.b", "*", ">", "a b", "$JS.API.>", "用户", "=", &"x".repeat(65)] {
            let subject = jobs(&of(id, id));
            assert_eq!(subject.matches('.').count(), 2, "{subject}");
            assert!(!subject.contains(['*', '>', ' ']), "{subject}");
            assert_eq!(session(&subject), Some(of(id, id)));
            let user = jobs_of(&of(id, id).user);
            assert_eq!(user.strip_suffix('*'), Some(&subject[..=subject.rfind('.').unwrap()]));
        }
    }

    proptest! {
        #[test]
        fn every_text_reads_back_and_no_two_share_a_token(a in ".{1,128}", b in ".{1,128}") {
            prop_assert_eq!(decode(&encode(&a)), Some(a.clone()));
            prop_assert_eq!(encode(&a) == encode(&b), a == b);
        }
    }
}
