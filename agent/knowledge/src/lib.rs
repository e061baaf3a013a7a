//! What the agent knows: Markdown, text, HTML and PDF, read from folders or,
//! with none configured, the documentation that is built in.
//!
//! Read and indexed when it is first needed; folders may be watched, and the
//! index follows them. Refuses folders that cannot be read; never reads outside
//! of them.

mod asked;
mod choice;
mod cutter;
mod folder;
mod format;
mod html;
mod index;
mod library;
mod markdown;
mod passage;
mod pdf;
mod plain;
mod progress;
mod sentence;
mod shelf;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

pub use choice::Found;
pub use index::{Hit, Index, Listed, MAX_HITS, MAX_QUESTION};
pub use library::Library;
pub use passage::{Form, Sentence};
pub use progress::{Progress, Reading};

/// Why knowledge cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder or file that cannot be read.
    #[error("knowledge in {}: {reason}", path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What was read cannot be indexed.
    #[error("the knowledge cannot be indexed: {0}")]
    Index(String),
    /// A question that is not searched.
    #[error("a question of {bytes} bytes; at most {MAX_QUESTION} are searched")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Files below one folder that are looked at, documents or not.
    pub(crate) entries: usize,
    /// Documents below one folder.
    pub(crate) files: usize,
    /// Bytes of a file; larger ones are left out.
    pub(crate) file: u64,
    /// The same for a PDF, whose pictures count.
    pub(crate) pdf: u64,
    /// Bytes of text, and pages, that are read of a PDF.
    pub(crate) pdf_text: usize,
    pub(crate) pages: usize,
    /// How long reading a PDF may take.
    pub(crate) pdf_time: Duration,
    /// Bytes of text in all.
    pub(crate) text: usize,
    /// Passages in all.
    pub(crate) passages: usize,
}

const MIB: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 500_000,
            files: 20_000,
            file: 4 * MIB as u64,
            pdf: 32 * MIB as u64,
            pdf_text: 4 * MIB,
            pages: 2_000,
            pdf_time: Duration::from_secs(20),
            text: 64 * MIB,
            passages: 200_000,
        }
    }
}
