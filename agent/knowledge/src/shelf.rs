//! Every document, cut, as it was last seen; only what changed is read again.
//!
//! What cannot be read any more, or is gone, stays for a moment: files are often
//! like that while they are written. After it, a broken file keeps out only
//! itself.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use process::clock;
use tokio::time::Instant;

use crate::folder::{self, File, Stamp, refused};
use crate::passage::Passage;
use crate::progress::Progress;
use crate::{Error, Limits};

/// How long what was readable stays after it is no more.
pub(crate) const SETTLES: Duration = Duration::from_secs(1);

/// A file that changed within this time of being read may change again without
/// looking different.
const COARSE: Duration = Duration::from_secs(2);

/// A document that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) source: Arc<str>,
    pub(crate) passages: Vec<Arc<Passage>>,
    /// Of text.
    pub(crate) bytes: usize,
}

impl Document {
    pub(crate) fn new(source: Arc<str>, passages: Vec<Passage>) -> Self {
        let sentences = passages.iter().flat_map(|it| &it.sentences);
        let bytes = sentences.map(|it| it.text.len()).sum();
        Self { source, passages: passages.into_iter().map(Arc::new).collect(), bytes }
    }
}

/// What is known of a file.
#[derive(Debug)]
struct Kept {
    stamp: Stamp,
    /// Whether the stamp tells every later change.
    told: bool,
    /// As last read well.
    document: Option<Arc<Document>>,
    /// Since when the file does not say what the document says.
    doubtful: Option<Instant>,
}

/// What a look at all folders found.
#[derive(Debug)]
pub(crate) struct Seen {
    /// In the order of the folders and their files.
    pub(crate) documents: Vec<Arc<Document>>,
    /// Whether something is doubtful: look again soon.
    pub(crate) unsettled: bool,
}

/// All documents of all folders.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    kept: BTreeMap<PathBuf, Kept>,
    /// How often a file was read.
    pub(crate) readings: usize,
    progress: Progress,
}

impl Shelf {
    /// An empty one, of which the first look says how far it is.
    pub(crate) fn telling(progress: Progress) -> Self {
        Self { progress, ..Self::default() }
    }

    /// Looks at all folders.
    ///
    /// Errors: a folder that cannot be read, holds more than is allowed, or, at
    /// the first look, nothing that can be read. What was seen before stays.
    pub(crate) fn look(&mut self, folders: &[PathBuf], limits: &Limits) -> Result<Seen, Error> {
        let first = self.kept.is_empty();
        let seen = self.see(folders, limits, first);
        if first && seen.is_err() {
            self.kept.clear();
        }
        seen
    }

    fn see(&mut self, folders: &[PathBuf], limits: &Limits, first: bool) -> Result<Seen, Error> {
        let mut listed = Vec::new();
        for folder in folders {
            listed.push((folder, folder::files(folder, limits)?));
        }
        if first {
            self.progress.found(listed.iter().map(|(_, files)| files.len()).sum());
        }
        let now = Instant::now();
        let mut seen = Seen { documents: Vec::new(), unsettled: false };
        let mut present = HashSet::new();
        for (folder, files) in &listed {
            let from = seen.documents.len();
            for file in files {
                present.insert(file.path.as_path());
                seen.documents.extend(self.take(file, limits, now));
                if first {
                    self.progress.read_one();
                }
            }
            if first && seen.documents.len() == from {
                let reason = "holds no .md, .txt, .html or .pdf file that can be read";
                return Err(refused(folder, reason));
            }
        }
        self.settle(&present, now, &mut seen);
        check(folders, &seen, limits)?;
        Ok(seen)
    }

    /// A file's document, read again if it may have changed.
    fn take(&mut self, file: &File, limits: &Limits, now: Instant) -> Option<Arc<Document>> {
        let kept = self.kept.get(&file.path);
        if kept.is_none_or(|it| it.stamp != file.stamp || !it.told) {
            self.readings += 1;
            let read = read(file, limits);
            let before = self.kept.remove(&file.path);
            let kept = Kept::after(before, file, read, now);
            self.kept.insert(file.path.clone(), kept);
        }
        let kept = self.kept.get_mut(&file.path)?;
        kept.expire(now);
        kept.document.clone()
    }

    /// Keeps what is gone for a moment, and forgets it then.
    fn settle(&mut self, present: &HashSet<&Path>, now: Instant, seen: &mut Seen) {
        self.kept.retain(|path, kept| {
            if present.contains(path.as_path()) {
                return true;
            }
            kept.doubtful.get_or_insert(now);
            kept.told = false;
            kept.expire(now);
            seen.documents.extend(kept.document.clone());
            kept.document.is_some()
        });
        seen.unsettled =
            self.kept.values().any(|it| it.doubtful.is_some() && it.document.is_some());
    }
}

impl Kept {
    fn after(
        before: Option<Self>,
        file: &File,
        read: Result<Document, String>,
        now: Instant,
    ) -> Self {
        let (document, doubtful) = before.map_or((None, None), |it| (it.document, it.doubtful));
        let told = is_told(file.stamp);
        match read {
            Ok(read) => {
                let same = document.filter(|it| **it == read);
                let document = Some(same.unwrap_or_else(|| Arc::new(read)));
                Self { stamp: file.stamp, told, document, doubtful: None }
            }
            Err(reason) => {
                let path = file.path.display();
                tracing::warn!(%path, reason, "left out of the knowledge base");
                let doubtful = Some(doubtful.unwrap_or(now));
                Self { stamp: file.stamp, told, document, doubtful }
            }
        }
    }

    /// Gives up what has been doubtful for long enough.
    fn expire(&mut self, now: Instant) {
        if self.doubtful.is_some_and(|since| now.duration_since(since) >= SETTLES) {
            self.document = None;
        }
    }
}

/// Whether every later change of a file will show in its stamp.
fn is_told(stamp: Stamp) -> bool {
    let modified = stamp.modified.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    modified.is_some_and(|it| it.abs_diff(clock::now()) > COARSE)
}

fn read(file: &File, limits: &Limits) -> Result<Document, String> {
    let most = file.format.most(limits);
    let too_large = || format!("larger than {} KiB", most / 1024);
    if file.stamp.bytes > most {
        return Err(too_large());
    }
    let bytes = bytes(&file.path, most).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(too_large)?;
    let passages = file.format.cut(&file.source, bytes, limits)?;
    Ok(Document::new(Arc::clone(&file.source), passages))
}

/// What is in a file; `None` when that is more than `most`.
fn bytes(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|it| it <= most);
    Ok(fits.then_some(bytes))
}

fn check(folders: &[PathBuf], seen: &Seen, limits: &Limits) -> Result<(), Error> {
    let folder = folders.first().map_or(Path::new(""), PathBuf::as_path);
    let bytes: usize = seen.documents.iter().map(|it| it.bytes).sum();
    if bytes > limits.text {
        let most = limits.text / 1024;
        return Err(refused(folder, format_args!("more than {most} KiB of text in all")));
    }
    let passages: usize = seen.documents.iter().map(|it| it.passages.len()).sum();
    if passages > limits.passages {
        let most = limits.passages;
        return Err(refused(folder, format_args!("more than {most} passages in all")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let folders = vec![folder.path().to_owned()];
        (folder, folders)
    }

    /// Makes a file look as if it were written long ago.
    fn age(folder: &tempfile::TempDir, name: &str, seconds: u64) {
        let then = UNIX_EPOCH + clock::now() - Duration::from_secs(seconds);
        let file = fs::File::options().append(true).open(folder.path().join(name)).unwrap();
        file.set_modified(then).unwrap();
    }

    fn refusal(folders: &[PathBuf], limits: &Limits) -> String {
        Shelf::default().look(folders, limits).unwrap_err().to_string()
    }

    #[test]
    fn only_what_changed_is_read_again() {
        let (folder, folders) = folder(&[("a.md", "one"), ("b.md", "two"), ("c.txt", "three")]);
        for name in ["a.md", "b.md", "c.txt"] {
            age(&folder, name, 100);
        }
        let mut shelf = Shelf::default();
        let limits = Limits::default();
        let before = shelf.look(&folders, &limits).unwrap().documents;
        assert_eq!((shelf.readings, before.len()), (3, 3));
        let again = shelf.look(&folders, &limits).unwrap().documents;
        assert_eq!(shelf.readings, 3);
        assert!(before.iter().zip(&again).all(|(a, b)| Arc::ptr_eq(a, b)));
        fs::write(folder.path().join("b.md"), "six").unwrap();
        let after = shelf.look(&folders, &limits).unwrap().documents;
        assert_eq!(shelf.readings, 4);
        let same: Vec<_> = before.iter().zip(&after).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(same, [true, false, true]);
    }

    #[test]
    fn a_file_that_has_just_changed_is_not_trusted_to_look_different() {
        let (folder, folders) = folder(&[("a.md", "one")]);
        age(&folder, "a.md", 0);
        let stamp = fs::metadata(folder.path().join("a.md")).unwrap().modified().unwrap();
        let mut shelf = Shelf::default();
        shelf.look(&folders, &Limits::default()).unwrap();
        fs::write(folder.path().join("a.md"), "two").unwrap();
        let file = fs::File::options().append(true).open(folder.path().join("a.md")).unwrap();
        file.set_modified(stamp).unwrap();
        let seen = shelf.look(&folders, &Limits::default()).unwrap();
        assert_eq!(seen.documents[0].passages[0].sentences[0].text, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_or_broken_stays_for_a_moment() {
        let (folder, folders) = folder(&[("a.md", "one"), ("b.md", "two")]);
        let mut shelf = Shelf::default();
        let mut look = || {
            let seen = shelf.look(&folders, &Limits::default()).unwrap();
            (seen.documents.len(), seen.unsettled)
        };
        assert_eq!(look(), (2, false));
        fs::remove_file(folder.path().join("a.md")).unwrap();
        fs::write(folder.path().join("b.md"), b"\xff").unwrap();
        assert_eq!(look(), (2, true));
        tokio::time::advance(SETTLES).await;
        assert_eq!(look(), (0, false));
        fs::write(folder.path().join("b.md"), "three").unwrap();
        assert_eq!(look(), (1, false));
    }

    #[test]
    fn a_folder_that_holds_nothing_readable_or_too_much_is_refused() {
        let (_folder, folders) = folder(&[("a.md", "One. Two."), ("b.md", "Three.")]);
        let limits = Limits::default;
        for (limits, reason) in [
            (Limits { entries: 2, ..limits() }, "more than 2 entries"),
            (Limits { files: 1, ..limits() }, "more than 1 documents"),
            (Limits { text: 10, ..limits() }, "more than 0 KiB of text in all"),
            (Limits { passages: 1, ..limits() }, "more than 1 passages in all"),
            (Limits { file: 3, ..limits() }, "holds no .md, .txt, .html or .pdf file"),
        ] {
            let refused = refusal(&folders, &limits);
            assert!(refused.contains(reason), "{refused}");
        }
        let (_empty, empty) = folder_of_nothing();
        assert!(refusal(&empty, &limits()).contains("holds no"));
        let nowhere = [PathBuf::from("/nowhere/at/all")];
        assert!(refusal(&nowhere, &limits()).starts_with("knowledge in /nowhere/at/all: "));
    }

    fn folder_of_nothing() -> (tempfile::TempDir, Vec<PathBuf>) {
        folder(&[("a.docx", "One.")])
    }

    #[test]
    fn a_file_over_the_limit_is_left_out_and_one_at_it_is_read() {
        let (_folder, folders) = folder(&[("a.md", "1234"), ("b.md", "12345")]);
        let limits = Limits { file: 4, ..Limits::default() };
        let seen = Shelf::default().look(&folders, &limits).unwrap();
        let sources: Vec<_> = seen.documents.iter().map(|it| &*it.source).collect();
        assert_eq!(sources, ["a.md"]);
    }
}
