//! Why there is no connection, in one line. Tells what another try may mend from
//! what it cannot; the client has one word for both where TLS is at work.

use async_nats::{ConnectError, ConnectErrorKind, rustls};

use crate::Error;

/// Why there is no connection. Another try would fail alike where the login or
/// a certificate is refused.
pub(super) fn unconnected(names: &str, error: &ConnectError) -> Error {
    let why = format!("cannot connect to NATS at {names}: {error}");
    // The client has one word for a lost connection and for what TLS says.
    if let Some(trouble) = tls_trouble(error) {
        let said = why.contains(&trouble);
        return Error::Unsuitable(if said { why } else { format!("{why}: {trouble}") });
    }
    match error.kind() {
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Authentication
        | ConnectErrorKind::AuthorizationViolation
        | ConnectErrorKind::Tls => Error::Unsuitable(why),
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => Error::Unavailable(why),
    }
}

/// What the TLS library says in an error, wherever it is hidden.
fn tls_trouble(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            let plain = matches!(found, rustls::Error::InvalidMessage(_));
            let plain = if plain { " (a server without TLS?)" } else { "" };
            return Some(format!("{found}{plain}"));
        }
        let hidden = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match hidden {
            Some(hidden) => Some(hidden),
            None => error.source(),
        };
    }
    None
}
