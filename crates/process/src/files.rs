//! How many files and sockets the process may hold.

/// Raises the soft limit on open files to the hard one. Every stream is a
/// socket, and the usual soft limit is made for interactive programs.
pub fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit on open files stays as it was");
    }
}
