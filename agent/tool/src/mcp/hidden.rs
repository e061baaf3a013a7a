//! What must not be read in a log or on a screen: addresses with their keys,
//! headers and variables.
//!
//! Servers and libraries repeat what they were given. Nothing that becomes text
//! is told with it.

use reqwest::Url;
use secrecy::ExposeSecret;

use super::Transport;

/// What is left in its place.
const HIDDEN: &str = "[hidden]";
/// Shorter values are words, not secrets.
const MIN_SECRET: usize = 4;
/// Shorter parts of a path are words.
const MIN_SEGMENT: usize = 16;

/// The text without what the configuration keeps secret.
pub(super) fn hide(text: &str, transport: &Transport) -> String {
    let mut secrets = secrets(transport);
    secrets.retain(|it| it.len() >= MIN_SECRET);
    // One may contain another.
    secrets.sort_by_key(|it| std::cmp::Reverse(it.len()));
    secrets.iter().fold(text.to_owned(), |text, it| text.replace(it.as_str(), HIDDEN))
}

/// The text without any address, for where the configuration is not at hand.
pub(super) fn without_addresses(text: &str) -> String {
    let ends = |it: char| it.is_whitespace() || matches!(it, '"' | '\'' | '(' | ')' | '<' | '>');
    let mut told = String::with_capacity(text.len());
    for word in text.split_inclusive(ends) {
        let inner = word.trim_end_matches(ends);
        if inner.contains("://") {
            told.push_str(HIDDEN);
            told.push_str(&word[inner.len()..]);
        } else {
            told.push_str(word);
        }
    }
    told
}

fn secrets(transport: &Transport) -> Vec<String> {
    match transport {
        Transport::Stdio { env, .. } => {
            env.values().map(|it| it.expose_secret().to_owned()).collect()
        }
        Transport::Http { url, headers } => {
            let mut secrets = of_url(url);
            for value in headers.values().map(ExposeSecret::expose_secret) {
                secrets.push(value.to_owned());
                // A key stands behind its kind.
                secrets.extend(value.split_once(' ').map(|(_, key)| key.to_owned()));
            }
            secrets
        }
    }
}

fn of_url(url: &str) -> Vec<String> {
    let mut secrets = vec![url.to_owned()];
    let Ok(parsed) = Url::parse(url) else {
        return secrets;
    };
    secrets.push(parsed.to_string());
    secrets.push(parsed.username().to_owned());
    secrets.extend(parsed.password().map(str::to_owned));
    for pair in parsed.query().unwrap_or_default().split('&') {
        secrets.push(pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
    }
    secrets.extend(parsed.query_pairs().map(|(_, value)| value.into_owned()));
    let segments = parsed.path().split('/').filter(|it| it.len() >= MIN_SEGMENT);
    secrets.extend(segments.map(str::to_owned));
    secrets
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn nothing_of_an_address_with_a_key_or_of_headers_is_told() {
        let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer t0ken-1".into())]);
        let url = "HTTP://me:pa55word@Host.Example:80?key=s3cret%20one&v=1".to_owned();
        let transport = Transport::Http { url: url.clone(), headers };
        for text in [
            url.as_str(),
            "for url (http://me:pa55word@host.example/?key=s3cret%20one&v=1)",
            "no s3cret one here",
            "wrong: t0ken-1, pa55word",
        ] {
            let told = hide(text, &transport);
            assert!(told.contains(HIDDEN), "{told}");
            for secret in ["s3cret", "pa55word", "t0ken"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
        assert_eq!(hide("v=1 stays", &transport), "v=1 stays");
        let env = BTreeMap::from([("KEY".to_owned(), "s3cret".into())]);
        let process = Transport::Stdio { command: "x".into(), args: Vec::new(), env };
        assert_eq!(hide("bad key s3cret", &process), "bad key [hidden]");
    }

    #[test]
    fn no_address_is_told() {
        let told = without_addresses("sent to (http://h/?k=s3cret) twice: \"HTTPS://h\"\n");
        assert_eq!(told, "sent to ([hidden]) twice: \"[hidden]\"\n");
    }
}
