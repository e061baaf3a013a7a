//! Why a broker did not do what it was asked.

/// The result of a call to a port.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a broker did not do what it was asked. Messages are for operators; none
/// holds a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Admission refused: the session has an unfinished job.
    #[error("the session has an unfinished turn")]
    Busy,
    /// The session has as many unfinished jobs as it may have.
    #[error("full: {0}")]
    Full(String),
    /// The store has no room left; nothing was stored, and the same will work
    /// once there is room again.
    #[error("no room: {0}")]
    NoRoom(String),
    /// A payload past its limit.
    #[error("{what} of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// What was to be stored.
        what: &'static str,
        /// Its encoded size.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A record is not at the revision that was expected.
    #[error("the record was changed by somebody else")]
    Conflict,
    /// The broker cannot be reached, has no leader or did not answer in time.
    /// Whether the call took effect is not known.
    #[error("the broker does not answer: {0}")]
    Unavailable(String),
    /// The broker is there, but set up so that a promise would break.
    #[error("{0}")]
    Unsuitable(String),
    /// What is stored cannot be read.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
}
