//! One side of TLS, made of files that may change at any time: renewed in
//! place, moved over the old ones, or by a symbolic link that is turned.
//!
//! Compares what is in the files, not their dates: a link that is turned keeps
//! the date, and a file written twice in a second has one.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;

use crate::Error;
use crate::files::{Contents, Files, Fingerprint, Material};
use crate::worry::{Worry, worry};

/// Makes a side of TLS of what is in the files.
type Make<T> = Box<dyn Fn(Material) -> Result<T, Error> + Send + Sync>;

/// The newest one that can be used.
pub(crate) struct Reloading<T> {
    files: Files,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: Made<T>,
    fingerprint: Fingerprint,
    /// Why the newest files cannot be used.
    trouble: Option<Trouble>,
    /// What was said about the certificate last.
    worry: Option<Worry>,
}

/// What was made, and the certificate in it.
struct Made<T> {
    side: Arc<T>,
    certificate: Option<CertificateDer<'static>>,
}

struct Trouble {
    why: String,
    said: bool,
}

impl<T> Reloading<T> {
    pub(crate) fn open(
        files: Files,
        make: impl Fn(Material) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let make: Make<T> = Box::new(make);
        let contents = files.read()?;
        let first = build(&files, &make, &contents)?;
        let state =
            State { made: first, fingerprint: contents.fingerprint, trouble: None, worry: None };
        let reloading = Self { files, make, state: Mutex::new(state) };
        reloading.look();
        Ok(reloading)
    }

    /// The one in use.
    pub(crate) fn current(&self) -> Arc<T> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&state.made.side)
    }

    /// Looks at the files again, and uses what is new in them if it can be used.
    /// Reads files: not for a thread that others wait for.
    pub(crate) fn look(&self) {
        let contents = self.files.read();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match &contents {
            Ok(contents) if contents.fingerprint == state.fingerprint => Ok(None),
            Ok(contents) => build(&self.files, &self.make, contents)
                .map_err(|error| error.to_string())
                .map(|made| Some((made, contents.fingerprint))),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(None) => state.trouble = None,
            Ok(Some((made, fingerprint))) => {
                *state = State { made, fingerprint, trouble: None, worry: None };
                tracing::info!(files = %self.names(), "certificates were read again");
            }
            Err(why) => state.suspect(why),
        }
        state.worry(&self.names());
    }

    /// The files, for people.
    fn names(&self) -> String {
        let identity = self.files.identity.iter().flat_map(|it| [&it.chain, &it.key]);
        let paths = identity.chain(&self.files.authorities).map(PathBuf::as_path);
        paths.map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl<T> State<T> {
    /// The second look complains, once: the first may have come between two
    /// files that are being replaced.
    fn suspect(&mut self, why: String) {
        let said = match &self.trouble {
            Some(before) if before.why == why => before.said,
            Some(_) | None => {
                self.trouble = Some(Trouble { why, said: false });
                return;
            }
        };
        if !said {
            tracing::error!(why, "new certificates cannot be used; the old ones stay in use");
            self.trouble = Some(Trouble { why, said: true });
        }
    }

    fn worry(&mut self, files: &str) {
        let certificate = self.made.certificate.as_ref();
        let worry = certificate.and_then(|it| worry(it, process::clock::now()));
        if let (Some(worry), true) = (worry, worry != self.worry) {
            tracing::warn!(files, "{worry}");
        }
        self.worry = worry;
    }
}

fn build<T>(files: &Files, make: &Make<T>, contents: &Contents) -> Result<Made<T>, Error> {
    let material = files.parse(contents)?;
    let certificate = material.identity.as_ref().and_then(|it| it.cert.first().cloned());
    Ok(Made { side: Arc::new(make(material)?), certificate })
}

/// The files alone: what is in them is nobody's business.
impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::Identity;

    fn write(identity: &Identity) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
        std::fs::write(&identity.chain, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
    }

    #[test]
    fn broken_files_are_complained_about_once_and_the_old_ones_stay_until_there_are_good_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let identity = Identity { chain: file("a.pem"), key: file("a.key") };
        write(&identity);
        let files = Files { identity: Some(identity.clone()), authorities: None };
        let pair = Reloading::open(files, |it| Ok(it.identity)).unwrap();
        let first = pair.current();
        let said = || pair.state.lock().unwrap().trouble.as_ref().map(|it| it.said);

        let breaks: [&dyn Fn(); 3] = [
            &|| std::fs::write(&identity.chain, "nothing").unwrap(),
            &|| std::fs::remove_file(&identity.chain).unwrap(),
            &|| {
                let kept = std::fs::read(&identity.key).unwrap();
                write(&identity);
                std::fs::write(&identity.key, kept).unwrap();
            },
        ];
        for broken in breaks {
            broken();
            for expected in [false, true, true] {
                pair.look();
                assert_eq!(said(), Some(expected));
                assert!(Arc::ptr_eq(&pair.current(), &first));
            }
        }
        write(&identity);
        pair.look();
        assert_eq!(said(), None);
        assert!(!Arc::ptr_eq(&pair.current(), &first));
    }
}
