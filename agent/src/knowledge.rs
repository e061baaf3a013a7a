//! What `extractive` answers from: Markdown and text, read from folders or, with
//! none configured, the documentation that is built in.
//!
//! Reads nothing outside the folders, also not through a link. Refuses folders
//! it cannot read and more than [`MAX_BYTES`] in all.

mod asked;
mod choice;
mod index;
mod passage;
mod script;
mod sentence;
mod words;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_embed::RustEmbed;
use tokio::sync::OnceCell;
use walkdir::WalkDir;

pub(crate) use choice::Found;
pub(crate) use index::Index;
pub(crate) use passage::Form;
pub(crate) use script::is_chinese;

use crate::Error;

/// The largest file, in bytes; larger ones are left out, with a warning.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The most that is read in all, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

#[derive(RustEmbed)]
#[folder = "../deploy/knowledge"]
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
pub(crate) struct Library {
    folders: Vec<PathBuf>,
    index: OnceCell<Arc<Index>>,
}

impl Library {
    /// Nothing is read yet.
    pub(crate) fn new(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            index: OnceCell::new(),
        }
    }

    /// The index; reads the files at the first call.
    pub(crate) async fn index(&self) -> Result<Arc<Index>, Error> {
        let index = self.index.get_or_try_init(|| async {
            let folders = self.folders.clone();
            let built = tokio::task::spawn_blocking(move || build(&folders));
            built
                .await
                .map_err(|error| Error::Index(error.to_string()))?
        });
        Ok(Arc::clone(index.await?))
    }
}

fn build(folders: &[PathBuf]) -> Result<Arc<Index>, Error> {
    let documents = if folders.is_empty() {
        built_in()
    } else {
        let mut documents = Vec::new();
        for folder in folders {
            read_folder(folder, &mut documents)?;
        }
        documents
    };
    Ok(Arc::new(Index::new(&documents)?))
}

fn built_in() -> Vec<Document> {
    let mut documents: Vec<_> = BuiltIn::iter()
        .filter(|source| is_text(Path::new(source.as_ref())))
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

fn read_folder(folder: &Path, documents: &mut Vec<Document>) -> Result<(), Error> {
    let refuse = |path: &Path, reason: String| Error::Knowledge {
        path: path.to_owned(),
        reason,
    };
    let root = folder
        .canonicalize()
        .map_err(|error| refuse(folder, error.to_string()))?;
    let before = documents.len();
    let mut size: usize = documents.iter().map(|it| it.text.len()).sum();
    let mut seen = HashSet::new();
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    let entries = WalkDir::new(&root).follow_links(true).sort_by_file_name();
    for entry in entries.into_iter().filter_entry(visible) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => {
                let path = error.path().unwrap_or(folder);
                return Err(refuse(path, error.to_string()));
            }
        };
        let path = entry.path();
        if !entry.file_type().is_file() || !is_text(path) {
            continue;
        }
        let real = path
            .canonicalize()
            .map_err(|error| refuse(path, error.to_string()))?;
        if !real.starts_with(&root) || !seen.insert(real) {
            continue;
        }
        let text = read_file(path).map_err(|error| refuse(path, error.to_string()))?;
        let Some(text) = text else { continue };
        size += text.len();
        if size > MAX_BYTES {
            let limit = MAX_BYTES / (1024 * 1024);
            return Err(refuse(folder, format!("more than {limit} MiB of text")));
        }
        let source = source(path, &root);
        documents.push(Document { source, text });
    }
    if documents.len() == before {
        return Err(refuse(folder, "holds no .md or .txt file".to_owned()));
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str());
    extension.is_some_and(|it| {
        ["md", "markdown", "txt"]
            .iter()
            .any(|known| it.eq_ignore_ascii_case(known))
    })
}

/// A file's text; `None`, with a warning, when it is too large or not UTF-8.
fn read_file(path: &Path) -> std::io::Result<Option<String>> {
    let size = path.metadata()?.len();
    if size > MAX_FILE_BYTES {
        tracing::warn!(path = %path.display(), size, "too large for the knowledge base");
        return Ok(None);
    }
    let text = String::from_utf8(std::fs::read(path)?);
    if let Err(error) = &text {
        tracing::warn!(path = %path.display(), %error, "not UTF-8: left out");
    }
    Ok(text.ok())
}

fn source(path: &Path, root: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let below = if below.as_os_str().is_empty() {
        path.file_name().map_or(path, Path::new)
    } else {
        below
    };
    let parts = below
        .components()
        .map(|it| it.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}
