//! The one reader of environment variables that are not flags.

/// The value of a variable that is set, is UTF-8 and is not empty.
pub fn get(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this file owns the environment")]
    let value = std::env::var(name).ok();
    value.filter(|it| !it.is_empty())
}
