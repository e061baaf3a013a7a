//! What the agent knows: Markdown and text, read from folders or, with none
//! configured, the documentation that is built in.
//!
//! Read and indexed when it is first needed, once. Refuses folders that cannot
//! be read; never reads outside of them.

mod asked;
mod choice;
mod folder;
mod index;
mod passage;
mod sentence;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_embed::RustEmbed;
use tokio::sync::OnceCell;

pub use choice::Found;
pub use index::Index;
pub use passage::{Form, Sentence};

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
}

#[derive(RustEmbed)]
#[folder = "../../deploy/knowledge"]
struct BuiltIn;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its path below the folder, with `/`.
    source: String,
    text: String,
}

/// The knowledge, indexed when it is first needed.
#[derive(Debug)]
pub struct Library {
    folders: Vec<PathBuf>,
    index: OnceCell<Arc<Index>>,
}

impl Library {
    /// Nothing is read yet.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, index: OnceCell::new() }
    }

    /// The index; reads the files at the first call.
    pub async fn index(&self) -> Result<Arc<Index>, Error> {
        let index = self.index.get_or_try_init(|| async {
            let folders = self.folders.clone();
            let built = tokio::task::spawn_blocking(move || build(&folders));
            built.await.map_err(|error| Error::Index(error.to_string()))?
        });
        Ok(Arc::clone(index.await?))
    }
}

fn build(folders: &[PathBuf]) -> Result<Arc<Index>, Error> {
    let mut documents = Vec::new();
    for folder in folders {
        documents.extend(folder::read(folder)?);
    }
    if folders.is_empty() {
        documents = built_in();
    }
    Ok(Arc::new(Index::new(&documents)?))
}

fn built_in() -> Vec<Document> {
    let mut documents: Vec<_> = BuiltIn::iter()
        .filter(|source| folder::is_text(Path::new(source.as_ref())))
        .filter_map(|source| {
            let file = BuiltIn::get(&source)?;
            let text = String::from_utf8(file.data.into_owned()).ok()?;
            let source = source.into_owned();
            Some(Document { source, text })
        })
        .collect();
    documents.sort_by(|a, b| a.source.cmp(&b.source));
    documents
}
