//! How far the first reading is, for whoever waits for it. Only the first: what
//! changes later keeps nobody waiting.

use tokio::sync::watch;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Documents that there are; 0 until the folders were looked through.
    pub found: usize,
    /// How many of them were read. Once that is all, they are indexed.
    pub read: usize,
}

/// Where a library says how far it is. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(watch::Sender<Reading>);

impl Progress {
    /// How far it is, and every change of that.
    pub fn watch(&self) -> watch::Receiver<Reading> {
        self.0.subscribe()
    }

    pub(crate) fn found(&self, documents: usize) {
        self.0.send_replace(Reading { found: documents, read: 0 });
    }

    pub(crate) fn read_one(&self) {
        self.0.send_modify(|it| it.read += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Library;

    #[tokio::test]
    async fn the_first_reading_is_told_and_a_count_reads_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.md", "b.txt", "c.md", "d.png"] {
            std::fs::write(folder.path().join(name), "One. Two.").unwrap();
        }
        let progress = Progress::default();
        let far = progress.watch();
        let library = Arc::new(Library::telling(vec![folder.path().to_owned()], progress));
        assert_eq!(library.count().await.unwrap(), [3]);
        assert_eq!(*far.borrow(), Reading::default());
        library.index().await.unwrap();
        assert_eq!(*far.borrow(), Reading { found: 3, read: 3 });
        std::fs::write(folder.path().join("e.md"), "Three.").unwrap();
        library.look().unwrap();
        assert_eq!(*far.borrow(), Reading { found: 3, read: 3 });
        let gone = Arc::new(Library::new(vec![folder.path().join("gone")]));
        assert!(gone.count().await.is_err());
    }
}
