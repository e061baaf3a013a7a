//! How many files and sockets the process may hold.

/// Raises the soft limit on open files to the hard one. Every stream is a
/// socket, and the usual soft limit is made for interactive programs.
pub fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit on open files stays as it was");
    }
}

/// How many files and sockets the process may hold, and how far it may raise
/// that itself; `None` where the system does not say.
pub fn file_limit() -> Option<(u64, u64)> {
    rlimit::Resource::NOFILE.get().ok()
}
