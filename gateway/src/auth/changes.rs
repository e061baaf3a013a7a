//! Whether a file is still the one that was read, as its metadata tells.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// One version of a file, or that there is none. A change of its rights is one,
/// too: it may be readable now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(Option<[i128; 5]>);

impl Stamp {
    /// Of no file.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// To be taken before the file is read: what changes meanwhile is noticed at
    /// the next look.
    pub(super) fn of(path: &Path) -> Self {
        let known = fs::metadata(path).ok();
        Self(known.map(|it| {
            let time =
                |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
            let (modified, changed) =
                (time(it.mtime(), it.mtime_nsec()), time(it.ctime(), it.ctime_nsec()));
            [it.dev().into(), it.ino().into(), it.len().into(), modified, changed]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_rewritten_or_gone_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let [file, other] = ["file", "other"].map(|it| folder.path().join(it));
        let missing = Stamp::of(&file);
        fs::write(&file, "one").unwrap();
        let first = Stamp::of(&file);
        assert_eq!(first, Stamp::of(&file));
        fs::write(&other, "two").unwrap();
        fs::rename(&other, &file).unwrap();
        let second = Stamp::of(&file);
        fs::write(&file, "longer").unwrap();
        let third = Stamp::of(&file);
        assert!(missing != first && first != second && second != third);
        fs::remove_file(&file).unwrap();
        assert_eq!(Stamp::of(&file), missing);
    }
}
