//! The knowledge of an agent: reads it when it is first needed, and replaces the
//! index when the folders have changed.
//!
//! The index is replaced whole: who searches has one that is complete, and waits
//! for nobody.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use process::Lifecycle;
use rust_embed::RustEmbed;

use crate::format::Format;
use crate::index::Index;
use crate::progress::Progress;
use crate::shelf::{Document, Shelf};
use crate::{Error, Limits, folder, watch};

#[derive(RustEmbed)]
#[folder = "../../deploy/knowledge"]
struct BuiltIn;

/// The knowledge. What it hands out does not change.
#[derive(Debug)]
pub struct Library {
    folders: Vec<PathBuf>,
    limits: Limits,
    /// Locked only to take it or to put another in its place.
    index: RwLock<Option<Arc<Index>>>,
    /// Locked while files are read and indexed: never on an async thread.
    shelf: Arc<Mutex<Held>>,
}

/// What the index was made of.
#[derive(Debug, Default)]
struct Held {
    shelf: Shelf,
    documents: Option<Vec<Arc<Document>>>,
}

/// What looking at the folders again has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// All is as the files say.
    Settled,
    /// A file is in doubt.
    Unsettled,
}

impl Library {
    /// Nothing is read yet. No folders mean the documentation that is built in.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self::with(folders, Limits::default())
    }

    /// The same; while the files are read the first time, it says in `progress`
    /// how far that is.
    pub fn telling(folders: Vec<PathBuf>, progress: Progress) -> Self {
        let held = Held { shelf: Shelf::telling(progress), documents: None };
        Self { shelf: Arc::new(Mutex::new(held)), ..Self::new(folders) }
    }

    /// How many documents are in each folder, by their names: nothing is read.
    ///
    /// Errors: a folder that cannot be looked through, or that holds too much.
    pub async fn count(self: &Arc<Self>) -> Result<Vec<usize>, Error> {
        let library = Arc::clone(self);
        let counted = tokio::task::spawn_blocking(move || {
            let count = |it: &PathBuf| folder::files(it, &library.limits).map(|it| it.len());
            library.folders.iter().map(count).collect()
        });
        counted.await.map_err(|error| Error::Index(error.to_string()))?
    }

    pub(crate) fn with(folders: Vec<PathBuf>, limits: Limits) -> Self {
        Self { folders, limits, index: RwLock::default(), shelf: Arc::default() }
    }

    /// The index as it is now; reads the files at the first call.
    pub async fn index(self: &Arc<Self>) -> Result<Arc<Index>, Error> {
        if let Some(index) = self.current() {
            return Ok(index);
        }
        let library = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || library.first());
        read.await.map_err(|error| Error::Index(error.to_string()))?
    }

    /// Keeps the index as the folders are, until the drain. They are read when
    /// the index is first needed, not by this.
    pub fn watch(self: &Arc<Self>, life: &Lifecycle) {
        if !self.folders.is_empty() {
            watch::begin(Arc::clone(self), life, watch::Way::Told);
        }
    }

    pub(crate) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The index, if there is one yet.
    pub(crate) fn current(&self) -> Option<Arc<Index>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn first(&self) -> Result<Arc<Index>, Error> {
        let mut held = self.held();
        if let Some(index) = self.current() {
            return Ok(index);
        }
        let documents = if self.folders.is_empty() {
            built_in(&self.limits)
        } else {
            held.shelf.look(&self.folders, &self.limits)?.documents
        };
        self.put(&mut held, documents)
    }

    /// Looks at the folders again; makes and places a new index if something
    /// has changed. Blocks.
    pub(crate) fn look(&self) -> Result<Looked, Error> {
        let mut held = self.held();
        if held.documents.is_none() {
            return Ok(Looked::Settled);
        }
        let seen = held.shelf.look(&self.folders, &self.limits)?;
        let before = held.documents.as_deref().unwrap_or_default();
        let same = before.len() == seen.documents.len()
            && before.iter().zip(&seen.documents).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            let index = self.put(&mut held, seen.documents)?;
            let (documents, passages) = (index.documents(), index.passages());
            tracing::info!(documents, passages, "the knowledge has changed");
        }
        Ok(if seen.unsettled { Looked::Unsettled } else { Looked::Settled })
    }

    fn put(&self, held: &mut Held, documents: Vec<Arc<Document>>) -> Result<Arc<Index>, Error> {
        let index = Arc::new(Index::new(&documents)?);
        held.documents = Some(documents);
        let mut place = self.index.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::clone(&index));
        Ok(index)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn built_in(limits: &Limits) -> Vec<Arc<Document>> {
    let mut documents: Vec<_> = BuiltIn::iter()
        .filter_map(|source| {
            let format = Format::of(Path::new(source.as_ref()))?;
            let file = BuiltIn::get(&source)?;
            let source: Arc<str> = source.as_ref().into();
            let passages = format.cut(&source, file.data.into_owned(), limits).ok()?;
            Some(Arc::new(Document::new(source, passages)))
        })
        .collect();
    documents.sort_by(|a, b| a.source.cmp(&b.source));
    documents
}
