//! What was asked before, in a file that only its owner can read: the latest
//! last, each once, at most [`MOST`]. Several terminals share it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// How many lines are kept.
pub(super) const MOST: usize = 1000;
/// What is longer is not kept, in bytes.
const LONGEST: usize = 16 * 1024;

/// The file, or none for a conversation that leaves no trace.
#[derive(Debug, Clone)]
pub(super) struct History(Option<PathBuf>);

impl History {
    /// The file in the user's folder for such things; none where there is no such
    /// folder.
    pub(super) fn of_user() -> Self {
        let folder = dirs::state_dir().or_else(dirs::data_local_dir);
        Self(folder.map(|it| it.join("weir").join("history")))
    }

    /// One that is not kept.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Everything, the latest last; nothing where it cannot be read.
    pub(super) fn read(&self) -> Vec<String> {
        let Some(text) = self.0.as_ref().and_then(|it| fs::read_to_string(it).ok()) else {
            return Vec::new();
        };
        text.lines().filter_map(|it| serde_json::from_str(it).ok()).collect()
    }

    /// Adds a line; everything, as it is then. A line that begins with a space is
    /// not kept. Errors: the file cannot be written.
    pub(super) fn add(&self, line: &str) -> std::io::Result<Vec<String>> {
        let lines = added(self.read(), line);
        let Some(file) = &self.0 else { return Ok(lines) };
        write(file, &lines)?;
        Ok(lines)
    }
}

fn added(mut lines: Vec<String>, line: &str) -> Vec<String> {
    if !line.starts_with(' ') && !line.trim().is_empty() && line.len() <= LONGEST {
        lines.retain(|it| it != line);
        lines.push(line.to_owned());
    }
    let over = lines.len().saturating_sub(MOST);
    lines.split_off(over)
}

/// Writes beside the file and puts it in its place: whoever reads meanwhile sees
/// all of one or all of the other.
fn write(file: &Path, lines: &[String]) -> std::io::Result<()> {
    let folder = file.parent().ok_or(ErrorKind::NotFound)?;
    owned_folder(folder)?;
    let mut text = String::new();
    for line in lines {
        text += &serde_json::to_string(line)?;
        text.push('\n');
    }
    let beside = folder.join(format!("history.{}", Uuid::now_v7()));
    let written = owned_file(&beside)
        .and_then(|mut it| it.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&beside, file));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn owned_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// A new file that only its owner can read.
pub(super) fn owned_file(path: &Path) -> std::io::Result<fs::File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_kept_once_where_it_was_last_and_the_oldest_go() {
        let lines = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(added(lines(&["a", "b"]), "a"), lines(&["b", "a"]));
        assert_eq!(added(lines(&["a"]), " secret"), lines(&["a"]));
        assert_eq!(added(lines(&["a"]), &"x".repeat(LONGEST + 1)), lines(&["a"]));
        let many: Vec<_> = (0..MOST).map(|it| it.to_string()).collect();
        let more = added(many, "new");
        assert_eq!((more.len(), more[0].as_str()), (MOST, "1"));
    }

    #[test]
    fn the_file_is_its_owners_alone_and_keeps_lines_with_line_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weir").join("history");
        let history = History(Some(file.clone()));
        assert_eq!(history.read(), Vec::<String>::new());
        history.add("one\ntwo").unwrap();
        assert_eq!(history.add("中文").unwrap(), ["one\ntwo", "中文"]);
        assert_eq!(history.read(), ["one\ntwo", "中文"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |it: &Path| fs::metadata(it).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        }
        let entries = fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(entries, 1, "nothing is left beside it");
    }
}
