//! Lists the documents below a folder.
//!
//! Goes through links, as mounted configuration has them, but reads nothing
//! that lies outside the folder, and nothing hidden.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

use crate::format::Format;
use crate::{Error, Limits};

/// A document, not yet read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// Its path below the folder, with `/`.
    pub(crate) source: Arc<str>,
    pub(crate) format: Format,
    pub(crate) stamp: Stamp,
}

/// What tells whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// Every document below the folder, in the order of their names. A file is a
/// folder of one document.
///
/// Errors: a folder that cannot be read, or that holds more than is allowed.
pub(crate) fn files(folder: &Path, limits: &Limits) -> Result<Vec<File>, Error> {
    let root = folder.canonicalize().map_err(|error| refused(folder, error))?;
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    let walk = WalkDir::new(&root).follow_links(true).sort_by_file_name();
    let entries = walk.into_iter().filter_entry(|it| is_inside(it, &root));
    for (number, entry) in entries.enumerate() {
        if number >= limits.entries {
            return Err(refused(folder, format_args!("more than {} entries", limits.entries)));
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if is_stray(&error) => continue,
            Err(error) => return Err(unreadable(&root, error)),
        };
        files.extend(file(&entry, &root).filter(|it| seen.insert(it.path.clone())));
        if files.len() > limits.files {
            return Err(refused(folder, format_args!("more than {} documents", limits.files)));
        }
    }
    Ok(files)
}

/// A document, if the entry is one; what vanishes meanwhile is none.
fn file(entry: &DirEntry, root: &Path) -> Option<File> {
    let format = Format::of(entry.path()).filter(|_| entry.file_type().is_file())?;
    let path = entry.path().canonicalize().ok()?;
    let metadata = path.metadata().ok()?;
    let stamp = Stamp { bytes: metadata.len(), modified: metadata.modified().ok() };
    Some(File { path, source: source(entry.path(), root), format, stamp })
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

fn unreadable(root: &Path, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(root).to_owned();
    match error.into_io_error() {
        Some(error) => refused(&path, error),
        None => refused(&path, "cannot be read"),
    }
}

fn source(path: &Path, root: &Path) -> Arc<str> {
    let below = path.strip_prefix(root).unwrap_or(path);
    let only = below.as_os_str().is_empty();
    let name = path.file_name().filter(|_| only).map(Path::new);
    let below = name.unwrap_or(below);
    let parts = below.components().map(|it| it.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/").into()
}

pub(crate) fn refused(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Unreadable { path: path.to_owned(), reason: reason.to_string() }
}
