//! What is wrong with a configuration: one line that names the file, the line
//! in it, the key, and what is allowed. Never a secret.

/// Why a configuration cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read at all.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(String),
    /// The file is no TOML.
    #[error("{file}:{line}: {said}")]
    Syntax {
        /// The file.
        file: String,
        /// The line in it, from 1.
        line: usize,
        /// What is wrong there.
        said: String,
    },
    /// A key of the file is not known, or its value cannot be used.
    #[error("{file}:{line}: {key}: {said}")]
    Value {
        /// The file.
        file: String,
        /// The line in it, from 1.
        line: usize,
        /// The key's path, as `times.first_token`.
        key: String,
        /// What is wrong with it, and what is allowed.
        said: String,
    },
    /// A variable of the environment, or what is left when file, flags and
    /// environment are put together, cannot be used.
    #[error("{key}: {said}")]
    Setting {
        /// The variable or the key.
        key: String,
        /// What is wrong with it, and what is allowed.
        said: String,
    },
}
