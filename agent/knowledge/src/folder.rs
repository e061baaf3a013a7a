//! Reads the Markdown and text below a folder.
//!
//! Goes through links, as mounted configuration has them, but reads nothing
//! that lies outside the folder, and nothing hidden.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::Document;
use crate::Error;

/// The largest file, in bytes; larger ones are left out, with a warning.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The most that is read from a folder, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Every document below the folder, in the order of their names. A file is a
/// folder of one document.
///
/// Errors: a folder or file that cannot be read, more than [`MAX_BYTES`], or
/// nothing to read at all.
pub(crate) fn read(folder: &Path) -> Result<Vec<Document>, Error> {
    let root = folder.canonicalize().map_err(|error| refused(folder, error))?;
    let mut documents = Vec::new();
    let mut size = 0;
    for path in files(&root)? {
        let text = read_file(&path).map_err(|error| refused(&path, error))?;
        let Some(text) = text else { continue };
        size += text.len();
        if size > MAX_BYTES {
            let limit = MAX_BYTES / (1024 * 1024);
            return Err(refused(folder, format_args!("more than {limit} MiB")));
        }
        let source = source(&path, &root);
        documents.push(Document { source, text });
    }
    if documents.is_empty() {
        return Err(refused(folder, "holds no .md or .txt file"));
    }
    Ok(documents)
}

/// Whether a file is one that can be read here, by its name.
pub(crate) fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str());
    let known = ["md", "markdown", "txt"];
    extension.is_some_and(|it| known.iter().any(|known| it.eq_ignore_ascii_case(known)))
}

fn files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(|it| is_inside(it, root)) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if is_stray(&error) => continue,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                return Err(match error.into_io_error() {
                    Some(error) => refused(&path, error),
                    None => refused(&path, "cannot be read"),
                });
            }
        };
        let path = entry.path();
        if !entry.file_type().is_file() || !is_text(path) {
            continue;
        }
        let real = path.canonicalize().map_err(|error| refused(path, error))?;
        if seen.insert(real) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// Whether an entry is to be read: not hidden, and no link that leads out.
fn is_inside(entry: &DirEntry, root: &Path) -> bool {
    let hidden = entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
    let leads_inside = || {
        let real = entry.path().canonicalize();
        real.is_ok_and(|real| real.starts_with(root))
    };
    !hidden && (!entry.path_is_symlink() || leads_inside())
}

/// A link that leads to itself or nowhere.
fn is_stray(error: &walkdir::Error) -> bool {
    let missing = error.io_error().is_some_and(|it| it.kind() == io::ErrorKind::NotFound);
    error.loop_ancestor().is_some() || (missing && error.depth() > 0)
}

/// A file's text; `None`, with a warning, when it is too large or not UTF-8.
fn read_file(path: &Path) -> io::Result<Option<String>> {
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
    let only = below.as_os_str().is_empty();
    let name = path.file_name().filter(|_| only).map(Path::new);
    let below = name.unwrap_or(below);
    let parts = below.components().map(|it| it.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

fn refused(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Unreadable { path: path.to_owned(), reason: reason.to_string() }
}
