//! What servers and their tools are called here.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Bytes of a server's name.
const MAX_SERVER: usize = 32;
/// Bytes of a tool's name, the server's included: what models take.
const MAX_NAME: usize = 64;

/// Whether a server may have this name; the error says what is allowed.
///
/// With these names no tool of one server can be called like one of another.
pub fn check(name: &str) -> Result<(), String> {
    let inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b'_';
    let outer = |it: Option<&u8>| it.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let fits = bytes.len() <= MAX_SERVER
        && bytes.iter().all(|it| inner(*it))
        && outer(bytes.first())
        && outer(bytes.last())
        && !name.contains("__");
    if fits {
        return Ok(());
    }
    Err(format!(
        "{name:?} cannot name a server; allowed are 1 to {MAX_SERVER} of a-z, 0-9, - and _, with \
         a letter or digit at both ends and without __"
    ))
}

/// The names of a server's tools in an agent, `<server>__<tool>`, by the names
/// that the server has for them. They depend on the names alone.
///
/// A name that had to be changed and is then another's ends with a hash.
pub(super) fn qualified<'a>(
    server: &str,
    tools: impl Iterator<Item = &'a str>,
) -> BTreeMap<&'a str, String> {
    let mut names: BTreeMap<&str, String> = tools.map(|it| (it, plain(server, it))).collect();
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.values() {
        *holders.entry(name.clone()).or_default() += 1;
    }
    for (tool, name) in &mut names {
        let unchanged = *name == format!("{server}__{tool}");
        if holders[name] > 1 && !unchanged {
            *name = hashed(name, server, tool);
        }
    }
    names
}

fn plain(server: &str, tool: &str) -> String {
    let allowed = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    let name: String =
        format!("{server}__{tool}").chars().map(|it| if allowed(it) { it } else { '_' }).collect();
    if name.len() <= MAX_NAME { name } else { hashed(&name, server, tool) }
}

/// Ends with a hash of the true name.
fn hashed(name: &str, server: &str, tool: &str) -> String {
    let hash = Sha256::digest(format!("{server}__{tool}"));
    let hash = format!("_{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3]);
    let room = MAX_NAME - hash.len();
    format!("{}{hash}", &name[..name.len().min(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(tools: &[&'a str]) -> BTreeMap<&'a str, String> {
        qualified("files", tools.iter().copied())
    }

    #[test]
    fn a_server_is_named_so_that_no_two_share_a_tools_name() {
        for good in ["files", "a", "my-files_2"] {
            check(good).unwrap();
        }
        for bad in ["", "A", "a__b", "_a", "a_", "ä", "a b", "a.b", &"a".repeat(33)] {
            assert!(check(bad).unwrap_err().contains("a-z, 0-9"), "{bad}");
        }
    }

    #[test]
    fn a_tool_is_named_after_its_server_in_letters_that_models_take() {
        let names = names(&["read", "read.file", "読む"]);
        let here: Vec<_> = names.values().map(String::as_str).collect();
        assert_eq!(here, ["files__read", "files__read_file", "files____"]);
    }

    #[test]
    fn a_long_name_is_cut_and_still_its_own() {
        let long = ["x".repeat(100) + "a", "x".repeat(100) + "b"];
        let names = names(&[&long[0], &long[1]]);
        assert!(names.values().all(|it| it.len() == 64));
        assert_ne!(names[long[0].as_str()], names[long[1].as_str()]);
    }

    #[test]
    fn of_two_that_would_share_a_name_the_unchanged_keeps_it() {
        let names = names(&["a_b", "a.b", "a b"]);
        assert_eq!(names["a_b"], "files__a_b");
        assert_ne!(names["a.b"], names["a b"]);
        assert!(names["a.b"].starts_with("files__a_b_"));
        let alone = qualified("files", ["a.b"].into_iter());
        assert_eq!(alone["a.b"], "files__a_b");
    }
}
