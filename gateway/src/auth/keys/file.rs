//! The file that keeps what is known of API keys, in TOML. It is replaced whole,
//! by one writer at a time: who reads it sees all of it as it was, or as it is.
//!
//! Refuses fields that it does not know, and a file without its version: one
//! that was emptied by mistake has no keys, but it is no list of none.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Hash, Key, Role, Wanted, hexadecimal, is_id, is_label, random};

const VERSION: u32 = 1;
const HEAD: &str = "# API keys of Weir, written by `weir keys`. Secrets are not in it.\n\n";
/// The longest file, in bytes: some 20 000 keys.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// How often, and how many times, it is tried whether another writer is done.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 200;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is none.
    #[error("{0} does not exist; weir keys create makes it")]
    Missing(PathBuf),
    /// The system says no.
    #[error("{path}: {error}")]
    System {
        /// What could not be used.
        path: PathBuf,
        /// In the system's words.
        error: io::Error,
    },
    /// It is not what `weir keys` writes.
    #[error("{path}: {said}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        said: String,
    },
    /// Somebody else writes, and does not stop.
    #[error("{0} is being changed by somebody else")]
    Locked(PathBuf),
    /// No key is called that.
    #[error("{path} has no key {id}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        id: String,
    },
    /// The label cannot stand in a list.
    #[error("a label must have 1 to 200 characters, on one line")]
    Label,
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// A file of keys.
#[derive(Debug, Clone)]
pub struct File {
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    keys: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    sha256: String,
    user: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
}

impl File {
    /// The file at a path, whether there is one or not.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys, in the order in which they were made.
    pub fn keys(&self) -> Result<Vec<Key>, Error> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing(self.path.clone()));
            }
            Err(error) => return Err(self.system(error)),
        };
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return Err(self.malformed(format!("must be a file of {MAX_BYTES} bytes at most")));
        }
        let text = fs::read_to_string(&self.path).map_err(|error| self.system(error))?;
        parse(&text).map_err(|said| self.malformed(said))
    }

    /// Whether others than its owner may change it, or others than its owner and
    /// group read it.
    pub fn is_open_to_others(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|it| it.mode() & 0o026 != 0)
    }

    /// Makes a key, and the file if there is none; the text has its secret, which
    /// is kept nowhere. Blocks while somebody else changes the file.
    pub fn create(&self, wanted: Wanted) -> Result<(Key, SecretString), Error> {
        if wanted.label.as_deref().is_some_and(|it| !is_label(it)) {
            return Err(Error::Label);
        }
        let _lock = self.lock()?;
        let mut keys = match self.keys() {
            Err(Error::Missing(_)) => Vec::new(),
            found => found?,
        };
        let (key, text) = Key::make(wanted, now())?;
        keys.push(key.clone());
        self.write(&keys)?;
        Ok((key, text))
    }

    /// Takes a key out. Blocks while somebody else changes the file.
    pub fn revoke(&self, id: &str) -> Result<Key, Error> {
        let _lock = self.lock()?;
        let mut keys = self.keys()?;
        let Some(at) = keys.iter().position(|it| it.id == id) else {
            return Err(Error::Unknown { path: self.path.clone(), id: id.to_owned() });
        };
        let key = keys.remove(at);
        self.write(&keys)?;
        Ok(key)
    }

    /// Keeps other writers away until it is dropped. What is locked is the
    /// folder: the file itself is replaced.
    fn lock(&self) -> Result<fs::File, Error> {
        let folder = self.folder();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| self.system(error))?;
        let locked = fs::File::open(folder).map_err(|error| self.system(error))?;
        for _ in 0..LOOKS {
            match locked.try_lock() {
                Ok(()) => return Ok(locked),
                Err(TryLockError::WouldBlock) => sleep(LOOK),
                Err(TryLockError::Error(error)) => return Err(self.system(error)),
            }
        }
        Err(Error::Locked(self.path.clone()))
    }

    fn folder(&self) -> &Path {
        let parent = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    fn write(&self, keys: &[Key]) -> Result<(), Error> {
        // A link is kept, and what it leads to replaced.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let text = spell(keys).map_err(|said| self.malformed(said))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let temporary = target.with_file_name(format!(".{name}.{}", hexadecimal(&random::<6>()?)));
        let written = replace(&temporary, &target, &text);
        if written.is_err() {
            let _it_may_not_exist = fs::remove_file(&temporary);
        }
        written.map_err(|error| self.system(error))
    }

    fn system(&self, error: io::Error) -> Error {
        Error::System { path: self.path.clone(), error }
    }

    fn malformed(&self, said: impl Into<String>) -> Error {
        Error::Malformed { path: self.path.clone(), said: said.into() }
    }
}

/// Writes a new file and puts it in the place of the old one, for its owner's
/// eyes only, and his group's if it could read the old one.
fn replace(temporary: &Path, target: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    if let Ok(old) = fs::metadata(target) {
        let mine = file.metadata()?;
        if (old.uid(), old.gid()) != (mine.uid(), mine.gid()) {
            // The superuser changes somebody else's file: let it stay his.
            let _others_may_not =
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        file.set_permissions(fs::Permissions::from_mode(0o600 | (old.mode() & 0o040)))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, target)?;
    let folder = target.parent().filter(|it| !it.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn spell(keys: &[Key]) -> Result<String, String> {
    let rows = keys.iter().map(|key| Row {
        id: key.id.clone(),
        sha256: key.hash.to_string(),
        user: key.user.to_string(),
        role: key.role,
        label: key.label.clone(),
        created: key.created,
        expires: key.expires,
    });
    let document = Document { version: VERSION, keys: rows.collect() };
    let text = toml::to_string(&document).map_err(|error| error.to_string())?;
    Ok(format!("{HEAD}{text}"))
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let document: Document = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |it| it.start);
        let line = text.bytes().take(start).filter(|it| *it == b'\n').count() + 1;
        format!("line {line}: {}", error.message())
    })?;
    if document.version != VERSION {
        return Err(format!("version must be {VERSION}, not {}", document.version));
    }
    let mut ids = HashSet::new();
    let mut keys = Vec::new();
    for row in document.keys {
        if !ids.insert(row.id.clone()) {
            return Err(format!("there are two keys {:?}", row.id));
        }
        let id = row.id.clone();
        keys.push(key(row).map_err(|said| format!("key {id:?}: {said}"))?);
    }
    Ok(keys)
}

fn key(row: Row) -> Result<Key, String> {
    let Row { id, sha256, user, role, label, created, expires } = row;
    if !is_id(&id) {
        return Err("id must be twelve hexadecimal digits in lowercase".to_owned());
    }
    if label.as_deref().is_some_and(|it| !is_label(it)) {
        return Err(Error::Label.to_string());
    }
    let hash = Hash::parse(&sha256).ok_or("sha256 must be 64 hexadecimal digits")?;
    let user = user.parse().map_err(|why| format!("user {why}"))?;
    Ok(Key { id, hash, user, role, label, created, expires })
}

/// Now, to the second: nobody needs more in a list.
fn now() -> Timestamp {
    let seconds = i64::try_from(process::clock::now().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
