//! Who is at the other end of a connection, and for whom it speaks. What a proxy
//! says of its client is believed only of the proxies that the operator named.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

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
        let mut client = peer.ip().to_canonical();
        let lines = headers.get_all("x-forwarded-for").into_iter().rev();
        let hops = lines.flat_map(|it| it.to_str().unwrap_or("?").rsplit(','));
        for hop in hops {
            if !is_of(client, proxies) {
                break;
            }
            let Some(address) = address(hop.trim()) else { break };
            client = address;
        }
        Self(client)
    }
}

/// Whether an address is one of these networks'.
pub(crate) fn is_of(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|it| it.contains(&address))
}

/// Who counts as one where addresses are limited: an address of IPv4, and all
/// that share the first 64 bits in IPv6, of which every customer has so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Neighbours(IpAddr);

impl Neighbours {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        })
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
    fn limits_know_an_address_of_ipv4_and_a_network_of_ipv6() {
        let of = |address: &str| Neighbours::of(address.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

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
