//! Names of hosts and origins, as an operator writes them.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;
use ipnet::IpNet;

use super::keys::Listed;

/// A host that the edge answers to, without a port, in lowercase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

/// Where a page comes from, as browsers write it in `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// A text that is not what was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not {0}")]
pub struct Invalid(&'static str);

impl Host {
    /// Whether a request for this host is meant.
    pub(crate) fn is(&self, host: &str) -> bool {
        self.0.eq_ignore_ascii_case(host)
    }
}

impl FromStr for Host {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parsed = text.parse::<Authority>().ok();
        let host = parsed.filter(|it| it.host() == text && !text.contains('*'));
        host.map(|it| Self(it.as_str().to_ascii_lowercase())).ok_or(Invalid(Self::KIND))
    }
}

impl Origin {
    /// As browsers write it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = Invalid;

    /// Refuses a path, a user, and the port that a browser would leave out.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let origin = || {
            let uri: Uri = text.parse().ok()?;
            let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
            let usual = match scheme {
                "http" => 80,
                "https" => 443,
                _other => return None,
            };
            let plain = !authority.as_str().contains(['@', '*']);
            let ported = authority.port_u16() != Some(usual);
            let written = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
            (plain && ported && written.eq_ignore_ascii_case(text)).then_some(Self(written))
        };
        origin().ok_or(Invalid(Self::KIND))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Listed for Host {
    const KIND: &'static str = "a host without a port, such as chat.example.org";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn written(&self) -> String {
        self.0.clone()
    }
}

impl Listed for Origin {
    const KIND: &'static str = "an origin, such as https://app.example.org";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn written(&self) -> String {
        self.0.clone()
    }
}

impl Listed for IpNet {
    const KIND: &'static str = "a network, such as 10.0.0.0/8, or 127.0.0.1/32 for one address";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for good in ["https://app.example.org", "http://localhost:3000", "https://[::1]:8443"] {
            assert_eq!(good.parse::<Origin>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.org",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://a:443",
            "http://a:80",
            "ftp://a",
            "https://*.a",
            "https://a b",
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(Invalid(Origin::KIND)), "{bad}");
        }
    }

    #[test]
    fn a_host_has_no_port() {
        assert!("Chat.Example.org".parse::<Host>().unwrap().is("CHAT.example.ORG"));
        for bad in ["", "a:80", "a/b", "u@a", "*.a", "https://a"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}
