//! Where the servers are and how to log in there, from a list of URLs. Nothing
//! that is shown holds a user, a password or a token.

use async_nats::{ConnectOptions, ServerAddr};

use crate::{Error, Result};

/// The servers of a comma separated list.
pub(super) fn servers(url: &str) -> Result<Vec<ServerAddr>> {
    let named = url.split(',').map(str::trim).filter(|it| !it.is_empty());
    let servers: Vec<ServerAddr> = named.map(server).collect::<Result<_>>()?;
    if servers.is_empty() {
        return Err(Error::Unsuitable("no NATS server is named".to_owned()));
    }
    Ok(servers)
}

fn server(url: &str) -> Result<ServerAddr> {
    url.parse().map_err(|error| {
        let shown = url.rsplit('@').next().unwrap_or_default();
        Error::Unsuitable(format!("{shown:?} is not the URL of a NATS server: {error}"))
    })
}

/// The servers for people.
pub(super) fn place(servers: &[ServerAddr]) -> String {
    let names: Vec<_> = servers.iter().map(|it| format!("{}:{}", it.host(), it.port())).collect();
    names.join(", ")
}

/// Options with the login of the first URL that has one: `user:password@`, or
/// `token@`. The client itself does not look there.
pub(super) fn login(servers: &[ServerAddr]) -> ConnectOptions {
    let options = ConnectOptions::new();
    let Some(server) = servers.iter().find(|it| it.username().is_some()) else {
        return options;
    };
    let user = decoded(server.username().unwrap_or_default());
    match server.password() {
        Some(password) => options.user_and_password(user, decoded(password)),
        None => options.token(user),
    }
}

/// Undoes a URL's percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let coded = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let byte = coded.and_then(|it| u8::from_str_radix(it, 16).ok());
        if let (b'%', Some(byte)) = (first, byte) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_is_shown_without_its_passwords() {
        let list = servers("nats://me:secret@a:1, b:2,,c").unwrap();
        assert_eq!(place(&list), "a:1, b:2, c:4222");
        let error = servers("me:secret@:::").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn percent_signs_of_a_url_are_undone() {
        for (coded, plain) in
            [("a%40b", "a@b"), ("%e7%94%a8", "用"), ("100%", "100%"), ("%zz", "%zz")]
        {
            assert_eq!(decoded(coded), plain);
        }
    }
}
