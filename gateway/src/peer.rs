//! Who is at the other end of a connection, and for whom it speaks. What a proxy
//! says of its client is believed only of the proxies that the operator named.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The address of who asks: the peer's, or that of the client of a trusted
/// proxy. Lies in each request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) IpAddr);

impl Client {
    /// The last address in `X-Forwarded-For` that no trusted proxy has; what
    /// stands before it, anybody may have written.
    pub(crate) fn of(peer: SocketAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let trusted = |it: IpAddr| proxies.iter().any(|net| net.contains(&it));
        let mut client = peer.ip().to_canonical();
        let lines = headers.get_all("x-forwarded-for").into_iter().rev();
        let hops = lines.flat_map(|it| it.to_str().unwrap_or("?").rsplit(','));
        for hop in hops {
            if !trusted(client) {
                break;
            }
            let Some(address) = address(hop.trim()) else { break };
            client = address;
        }
        Self(client)
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed_whom_it_speaks_for() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|it| it.parse().unwrap()).to_vec();
        for (peer, lines, expected) in [
            ("192.0.2.1:5", vec!["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1:5", vec![], "10.0.0.1"),
            ("10.0.0.1:5", vec!["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:5", vec!["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:5", vec!["6.6.6.6", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1:5", vec!["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1:5", vec!["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1:5", vec!["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1:5", vec!["6.6.6.6, unknown"], "10.0.0.1"),
            ("[::1]:5", vec!["198.51.100.7"], "198.51.100.7"),
            ("[::ffff:10.0.0.1]:5", vec!["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1:5", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let client = Client::of(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(client.0.to_string(), expected, "{peer} {lines:?}");
        }
    }
}
