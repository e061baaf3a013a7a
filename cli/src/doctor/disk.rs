//! The folder of the embedded store: whether it can be used, how much room there
//! is, and who uses it. Writes nothing but a file that it takes away again, and
//! never takes the store's lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;

use super::finding::Finding;
use crate::control::Remote;
use crate::flags::Doctor;
use crate::jobs::letters::{Answer, Request};
use crate::store;

const CHECK: &str = "disk";
pub(super) const STORE: &str = "store";
/// How one begins that another process holds.
pub(super) const HELD: &str = "a running weir holds it";
const MIB: u64 = 1024 * 1024;
/// Below this, the store soon takes no question any more.
const LEAST: u64 = 64 * MIB;
/// Below this, it is time to make room.
const ROOMY: u64 = 1024 * MIB;
/// How long the process that holds the store may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// File systems over a network, on which a log beside the database cannot be
/// shared: their number, and what they are called.
const REMOTE: [(u64, &str); 7] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
];

/// File systems of the kernel's own making: proc, sysfs.
const UNMADE: [u64; 2] = [0x9fa0, 0x6265_6572];

/// What is known of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    folder: PathBuf,
    /// Whether it is there, or would be made.
    exists: bool,
    /// Why nothing can be written there.
    unwritable: Option<String>,
    /// Bytes that are free.
    free: Option<u64>,
    /// A file system that cannot hold the store.
    remote: Option<&'static str>,
}

/// Who holds a store.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    /// A process that answers, with so many unfinished jobs.
    Running(u64),
    /// A process that says something else, or nothing.
    Mute(String),
    Nobody,
}

pub(super) async fn look(flags: &Doctor) -> Vec<Finding> {
    let folder = match store::folder(&flags.store) {
        Ok(Some(folder)) => folder,
        Ok(None) if flags.store.ephemeral => {
            return vec![Finding::off(CHECK, "--ephemeral keeps everything in memory")];
        }
        Ok(None) => return vec![Finding::off(CHECK, "everything is kept on NATS")],
        Err(error) => return vec![Finding::fail(CHECK, format!("{error:#}"), "name it")],
    };
    let path = folder.clone();
    let facts = tokio::task::spawn_blocking(move || facts(path));
    let Ok(Ok(facts)) = timeout(PATIENCE, facts).await else {
        let advice = "look whether the file system is mounted and its server answers";
        return vec![Finding::fail(CHECK, format!("{} does not answer", folder.display()), advice)];
    };
    // Where no folder is, nobody holds anything.
    if !facts.exists && facts.unwritable.is_some() {
        return judge(&facts);
    }
    let held = holder(&folder).await;
    let there = folder.join("weir.db").exists();
    judge(&facts).into_iter().chain([judge_holder(&held, there)]).collect()
}

fn facts(folder: PathBuf) -> Facts {
    let exists = folder.is_dir();
    let there = folder.ancestors().find(|it| it.exists()).unwrap_or(Path::new("."));
    let unwritable = if exists { probe(&folder) } else { reach(there) };
    Facts {
        exists,
        unwritable: unwritable.err().map(|it| it.to_string()),
        free: free(there),
        remote: remote(there),
        folder,
    }
}

/// Writes, syncs and removes a file.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".weir-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(b"weir").and_then(|()| file.sync_all());
    std::fs::remove_file(&path)?;
    written
}

/// Whether a folder could be made below another one.
fn reach(there: &Path) -> io::Result<()> {
    use rustix::fs::Access;
    if !there.is_dir() {
        let what = format!("{} is no folder", there.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, what));
    }
    if kind_of(there).is_some_and(|it| UNMADE.contains(&it)) {
        let what = format!("{} is the system's own, which takes no folders", there.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK)?)
}

fn free(there: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn remote(there: &Path) -> Option<&'static str> {
    let kind = kind_of(there)?;
    REMOTE.iter().find(|(number, _)| *number == kind).map(|it| it.1)
}

/// The number of the file system.
#[cfg(target_os = "linux")]
fn kind_of(there: &Path) -> Option<u64> {
    let found = rustix::fs::fstatfs(File::open(there).ok()?).ok()?;
    Some(u64::try_from(found.f_type).ok()? & 0xffff_ffff)
}

#[cfg(not(target_os = "linux"))]
fn kind_of(_there: &Path) -> Option<u64> {
    None
}

async fn holder(folder: &Path) -> Holder {
    let asking = async {
        let Some(mut remote) = Remote::connect(folder).await? else {
            return anyhow::Ok(None);
        };
        Ok(Some(remote.ask(&Request::Depth {}).await?))
    };
    match timeout(PATIENCE, asking).await.context("it does not answer").flatten() {
        Ok(Some(Answer::Depth(depth))) => Holder::Running(depth),
        Ok(Some(_)) => Holder::Mute("it is of another version".to_owned()),
        Ok(None) => Holder::Nobody,
        Err(error) => Holder::Mute(format!("{error:#}")),
    }
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let Facts { folder, exists, unwritable, free, remote } = facts;
    let name = folder.display();
    if let Some(why) = unwritable {
        let verb = if *exists { "written to" } else { "made" };
        let advice = "name another folder with --data, or let this user write there";
        return vec![Finding::fail(CHECK, format!("{name} cannot be {verb}: {why}"), advice)];
    }
    let beginning = if *exists { "" } else { ", which the first start makes" };
    let room = free.map_or_else(|| "how much is free is not known".to_owned(), in_words);
    let detail = format!("{name}{beginning}: {room}");
    let advice = "make room, or keep the store elsewhere with --data";
    let mut findings = vec![match free {
        Some(free) if *free < LEAST => Finding::fail(CHECK, detail, advice),
        Some(free) if *free < ROOMY => Finding::warn(CHECK, detail, advice),
        Some(_) | None => Finding::ok(CHECK, detail),
    }];
    if let Some(kind) = remote {
        let detail = format!("{name} is on {kind}, where the store may be damaged");
        findings.push(Finding::warn(CHECK, detail, "keep it on a disk of this machine"));
    }
    findings
}

fn in_words(free: u64) -> String {
    let (whole, unit) = if free < ROOMY { (MIB, "MiB") } else { (ROOMY, "GiB") };
    format!("{} {unit} free", free / whole)
}

fn judge_holder(holder: &Holder, there: bool) -> Finding {
    match holder {
        Holder::Running(depth) => Finding::ok(STORE, format!("{HELD}; unfinished jobs: {depth}")),
        Holder::Mute(why) => Finding::warn(
            STORE,
            format!("a process holds it and cannot be asked: {why}"),
            "look at its log; stop it before another one is started",
        ),
        Holder::Nobody if there => Finding::ok(STORE, "there, and nobody uses it"),
        Holder::Nobody => Finding::ok(STORE, "none yet; the first start makes it"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_folder_is_judged_by_room_rights_and_file_system() {
        let good = Facts {
            folder: "/data".into(),
            exists: true,
            unwritable: None,
            free: Some(5 * ROOMY),
            remote: None,
        };
        let denied = Some("Permission denied".to_owned());
        for (facts, outcomes, told) in [
            (good.clone(), vec![Outcome::Ok], "/data: 5 GiB free"),
            (Facts { free: Some(ROOMY - 1), ..good.clone() }, vec![Outcome::Warn], "1023 MiB"),
            (Facts { free: Some(LEAST - 1), ..good.clone() }, vec![Outcome::Fail], "63 MiB"),
            (Facts { free: None, ..good.clone() }, vec![Outcome::Ok], "not known"),
            (Facts { exists: false, ..good.clone() }, vec![Outcome::Ok], "first start makes"),
            (
                Facts { remote: Some("NFS"), ..good.clone() },
                vec![Outcome::Ok, Outcome::Warn],
                "/data",
            ),
            (
                Facts { unwritable: denied.clone(), ..good.clone() },
                vec![Outcome::Fail],
                "written to: Permission",
            ),
            (
                Facts { unwritable: denied, exists: false, ..good },
                vec![Outcome::Fail],
                "cannot be made",
            ),
        ] {
            let found = judge(&facts);
            assert_eq!(found.iter().map(|it| it.outcome).collect::<Vec<_>>(), outcomes);
            assert!(found[0].detail.contains(told), "{found:?}");
        }
    }

    #[test]
    fn a_store_is_told_with_who_holds_it() {
        for (holder, there, outcome) in [
            (Holder::Running(3), true, Outcome::Ok),
            (Holder::Mute("silence".to_owned()), true, Outcome::Warn),
            (Holder::Nobody, true, Outcome::Ok),
            (Holder::Nobody, false, Outcome::Ok),
        ] {
            assert_eq!(judge_holder(&holder, there).outcome, outcome, "{holder:?}");
        }
    }

    #[test]
    fn a_probe_leaves_nothing_and_a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let found = facts(folder.path().to_owned());
        assert!(found.exists && found.unwritable.is_none() && found.free.is_some(), "{found:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let found = facts(file.join("below"));
        assert!(found.unwritable.unwrap().contains("is no folder"));
        let found = facts(file.clone());
        assert!(!found.exists && found.unwritable.unwrap().contains("is no folder"));
        #[cfg(target_os = "linux")]
        {
            let found = facts("/proc/weir".into());
            assert!(found.unwritable.as_ref().unwrap().contains("takes no folders"), "{found:?}");
            assert!(judge(&found)[0].detail.contains("cannot be made"), "{found:?}");
        }
        let found = facts(folder.path().join("a/b/c"));
        assert!(!found.exists && found.unwritable.is_none(), "{found:?}");
        assert!(!folder.path().join("a").exists());
    }
}
