//! What was acknowledged survives kill -9. The test starts itself as a child
//! that writes until it is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use broker::sqlite::{Place, open};
use broker::{Bucket, Expected, Key, Limits, Sequence};
use proto::Session;

use crate::world::{World, said};

/// Tells the child where to write.
const FOLDER: &str = "WEIR_CONTRACT_FOLDER";
/// Rounds that the child must have told before it is killed.
const ROUNDS: usize = 200;

async fn world(folder: &Path) -> World {
    let place = Place::Folder(folder.to_owned());
    World::new(open(place, Limits::default()).await.unwrap())
}

fn session(id: &str) -> Session {
    Session::parse("ann", id).unwrap()
}

/// Writes rounds of an entry, a job and a record, and tells each when all
/// three were acknowledged; a few for itself, or without end as a child.
#[tokio::test]
async fn the_writer_to_be_killed() {
    #[expect(clippy::disallowed_methods, reason = "how a child is told")]
    let told = std::env::var(FOLDER);
    let own = tempfile::tempdir().unwrap();
    let (folder, rounds) = match told {
        Ok(folder) => (PathBuf::from(folder), usize::MAX),
        Err(_) => (own.path().to_owned(), 3),
    };
    let world = world(&folder).await;
    let session_of_log = session("log");
    let mut speaker = world.speaker(&session_of_log);
    for round in 0..rounds {
        let name = round.to_string();
        let at = speaker.say(&name).await;
        world.submit(&session(&name), &name).await;
        let key = Key::session(&session(&name));
        let records = &world.broker.records;
        let put = records.put(Bucket::Keys, &key, name.into(), Expected::Absent);
        put.await.unwrap();
        writeln!(std::io::stdout(), "round {round} {at}").unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::the_writer_to_be_killed", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The first may come behind what the test harness says.
        if let Some((_, round)) = line.split_once("round ") {
            let (_, at) = round.split_once(' ').unwrap();
            told.push(Sequence(at.parse().unwrap()));
        }
        if told.len() == ROUNDS {
            // SIGKILL; what was told before still comes out of the pipe.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(told.len() >= ROUNDS, "only {} rounds", told.len());

    let world = world(folder.path()).await;
    let read = world.read(&session("log"), Sequence::START, told.len()).await;
    let places: Vec<_> = read.iter().map(|it| it.sequence).collect();
    assert_eq!(places[..told.len()], told);
    for (before, after) in read.iter().zip(&read[1..]) {
        assert_eq!(after.entry.follows, before.sequence.0);
    }
    for round in 0..told.len() {
        assert_eq!(said(&world.next().await.job), round.to_string());
        let key = Key::session(&session(&round.to_string()));
        let record = world.broker.records.get(Bucket::Keys, &key).await.unwrap();
        assert_eq!(record.unwrap().value, round.to_string());
    }
}
