//! The API keys that count now: the file's, as it was when it was last good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Bad;
use super::changes::Stamp;
use super::keys::{Error, File, Hash, Key, parts};

/// Keys, by their ids, and the file that they come from.
#[derive(Debug)]
pub(super) struct Register {
    file: File,
    seen: Mutex<Stamp>,
    known: RwLock<Arc<Known>>,
}

type Known = HashMap<String, Entry>;

/// A key that counts, until it is taken back.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Arc<Key>,
    pub(super) revoked: CancellationToken,
}

impl Register {
    pub(super) fn open(file: File) -> Result<Self, Error> {
        let seen = Stamp::of(file.path());
        let known = known(file.keys()?, &Known::new());
        warn_of_readers(&file);
        tracing::info!(file = %file.path().display(), keys = known.len(), "API keys are in use");
        Ok(Self { file, seen: Mutex::new(seen), known: RwLock::new(Arc::new(known)) })
    }

    /// The key whose text this is.
    pub(super) fn find(&self, text: &str, now: Timestamp) -> Result<Entry, Bad> {
        let (id, secret) = parts(text).ok_or(Bad::Invalid("it is not spelled as a key"))?;
        let found = self.get(id);
        // As much is done for an id that nobody has.
        let expected = found.as_ref().map_or(Hash::of_nothing(), |it| it.key.hash);
        let right = Hash::of(secret).is(&expected);
        match found.filter(|_| right) {
            None => Err(Bad::Invalid("there is no such key")),
            Some(entry) if entry.key.has_expired(now) => Err(Bad::Expired),
            Some(entry) => Ok(entry),
        }
    }

    /// The key with an id.
    pub(super) fn get(&self, id: &str) -> Option<Entry> {
        let known = Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        known.get(id).cloned()
    }

    /// Looks whether the file has changed; reads it then. Keys that are there no
    /// more, or are other ones now, end. Blocks.
    pub(super) fn look(&self) {
        let stamp = Stamp::of(self.file.path());
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == stamp {
                return;
            }
            *seen = stamp;
        }
        match self.file.keys() {
            Ok(keys) => self.renew(keys),
            Err(error) => tracing::error!(%error, "API keys stay as they were"),
        }
    }

    fn renew(&self, keys: Vec<Key>) {
        warn_of_readers(&self.file);
        let mut current = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = Arc::clone(&current);
        *current = Arc::new(known(keys, &before));
        let now = Arc::clone(&current);
        drop(current);
        let ended = before.iter().filter(|(id, old)| !now.get(*id).is_some_and(|it| it.is(old)));
        let ended: Vec<_> = ended.map(|(_, entry)| entry).collect();
        tracing::info!(keys = now.len(), ended = ended.len(), "API keys were read again");
        for entry in ended {
            entry.revoked.cancel();
        }
    }
}

impl Entry {
    /// Whether this is the other one, whatever it is labelled.
    fn is(&self, other: &Self) -> bool {
        let same = |it: &Key| (it.hash, it.user.clone(), it.role, it.expires);
        same(&self.key) == same(&other.key)
    }
}

/// Keys that stay keep what would end their streams.
fn known(keys: Vec<Key>, before: &Known) -> Known {
    let entries = keys.into_iter().map(|key| {
        let id = key.id.clone();
        let mut entry = Entry { key: Arc::new(key), revoked: CancellationToken::new() };
        if let Some(old) = before.get(&id).filter(|it| it.is(&entry)) {
            entry.revoked = old.revoked.clone();
        }
        (id, entry)
    });
    entries.collect()
}

fn warn_of_readers(file: &File) {
    if file.is_open_to_others() {
        let path = file.path().display();
        tracing::warn!(file = %path, "others may read or change the API keys; chmod 600 is right");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::{Role, Wanted};
    use secrecy::{ExposeSecret as _, SecretString};

    fn make(file: &File, user: &str, expires: Option<Timestamp>) -> (Key, SecretString) {
        let user = user.parse().unwrap();
        file.create(Wanted { user, role: Role::User, label: None, expires }).unwrap()
    }

    fn find(register: &Register, text: &SecretString) -> Result<String, Bad> {
        let found = register.find(text.expose_secret(), Timestamp::UNIX_EPOCH);
        found.map(|it| it.key.user.to_string())
    }

    #[test]
    fn a_key_counts_while_the_file_has_it_and_its_time_is_not_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::at(folder.path().join("keys.toml"));
        let (key, text) = make(&file, "u", None);
        let (_, old) = make(&file, "v", Some(Timestamp::UNIX_EPOCH));
        let register = Register::open(file.clone()).unwrap();
        assert_eq!(find(&register, &text), Ok("u".to_owned()));
        assert_eq!(find(&register, &old), Err(Bad::Expired));
        let (_, secret) = parts(old.expose_secret()).unwrap();
        for wrong in [
            format!("weir_{}_{secret}", key.id),
            text.expose_secret().replace(&key.id, "ffffffffffff"),
            String::new(),
        ] {
            assert!(
                matches!(find(&register, &wrong.clone().into()), Err(Bad::Invalid(_))),
                "{wrong}"
            );
        }
        let revoked = register.get(&key.id).unwrap().revoked;
        file.revoke(&key.id).unwrap();
        assert!(find(&register, &text).is_ok() && !revoked.is_cancelled());
        register.look();
        assert!(find(&register, &text).is_err() && revoked.is_cancelled());
    }

    #[test]
    fn keys_stay_when_others_come_and_when_the_file_breaks() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::at(folder.path().join("keys.toml"));
        let (key, text) = make(&file, "u", None);
        let register = Register::open(file.clone()).unwrap();
        let revoked = register.get(&key.id).unwrap().revoked;
        let (_, other) = make(&file, "v", None);
        let good = std::fs::read_to_string(file.path()).unwrap();
        register.look();
        assert_eq!(find(&register, &other), Ok("v".to_owned()));
        for broken in ["", "version = 1\n[[keys]]\n", "\u{0}"] {
            std::fs::write(file.path(), broken).unwrap();
            register.look();
            assert!(find(&register, &text).is_ok(), "{broken:?}");
        }
        std::fs::remove_file(file.path()).unwrap();
        register.look();
        assert!(find(&register, &text).is_ok() && !revoked.is_cancelled());
        // The same key for somebody else is another one.
        std::fs::write(file.path(), good.replace("\"u\"", "\"w\"")).unwrap();
        register.look();
        assert_eq!(find(&register, &text), Ok("w".to_owned()));
        assert!(revoked.is_cancelled());
    }
}
