//! The log of one nats-server is damaged on its disk: a bit is flipped, or the
//! file is cut. Then this server leads, and alone tells the sessions' histories.
//! What it cannot tell must be missed aloud.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use testkit::sse::{Frame, raw};

use super::{Ground, judged};
use crate::copies;
use crate::load::{Load, Plan};
use crate::score::Score;
use crate::sitting::Tale;
use crate::stage::{Plan as Fleet, Stage};

/// What each token of the text has in it.
const TOKEN: &[u8] = b"/1/";

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// One bit of a token's text, in the middle half.
    Flip,
    /// The last third is gone.
    Cut,
}

/// How the server ended before: one that was killed reads its files through
/// when it starts, one that was asked to end trusts them.
#[derive(Debug, Clone, Copy)]
enum End {
    Killed,
    Ended,
}

/// Sessions whose histories were read from the damaged server.
#[derive(Debug, Default)]
struct Told {
    whole: usize,
    aloud: usize,
    refused: usize,
    silent: Vec<String>,
}

/// What is done, one after the other, each to a server that is whole again.
const CASES: [(Damage, End); 4] = [
    (Damage::Flip, End::Killed),
    (Damage::Cut, End::Killed),
    (Damage::Flip, End::Ended),
    (Damage::Cut, End::Ended),
];

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C11", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let plan = Plan { sessions: 12, questions: Some(4), every_ms: 2..=8, ..Plan::default() };
    let load = Load::start(&stage.edges(), plan, "b", ground.seed)?;
    load.finish().await;
    let tales = judged(&stage, load, &mut score).await;
    let leader = stage.leader().await?;
    let whole = copies::messages(&mut stage, "LOG", leader).await?;
    for (damage, end) in CASES {
        let victim = (stage.leader().await? + 1) % stage.nodes();
        let wound = hurt(&mut stage, victim, (damage, end), &mut dice).await?;
        let messages = copies::messages(&mut stage, "LOG", victim).await?;
        let wrong = copies::differences(&whole, &messages);
        score.fault(&format!("{damage:?} in a file of {} KiB", wound.size / 1024));
        let told = read(&stage, victim, &tales).await;
        let case = format!("{damage:?}, {end:?}");
        let refused = messages.values().filter(|it| it.contains("err_code")).count();
        let all = whole.len();
        score.figure(
            &case,
            format!("of {all} messages {wrong} not as they were, {refused} of them refused"),
        );
        score.expect(wrong > 0 || !wound.is_open(), || format!("{case}: nothing was damaged"));
        told.note(&case, &wound, &mut score);
        heal(&mut stage, victim, &mut score).await?;
    }
    Ok(score)
}

/// Ends a server, damages its log, and starts it again.
async fn hurt(
    stage: &mut Stage,
    victim: usize,
    (damage, end): (Damage, End),
    dice: &mut StdRng,
) -> Result<Wound> {
    let node = stage.node(victim);
    match end {
        End::Killed => node.kill().await?,
        End::Ended => {
            node.retire()?;
            node.ended().await?;
        }
    }
    let wound = wound(&node.store(), damage, dice)?;
    node.restart().await?;
    stage.cluster()?.ready().await?;
    Ok(wound)
}

impl Told {
    /// What the server loses by itself is no promise of ours, but it is said.
    fn note(&self, case: &str, wound: &Wound, score: &mut Score) {
        let Self { whole, aloud, refused, silent } = self;
        let file = if wound.is_open() { "still damaged" } else { "mended by the server" };
        let short = silent.len();
        score.figure(
            case,
            format!(
                "file {file}; {whole} histories whole, {aloud} with a gap told, {refused} refused, \
                 {short} silently short"
            ),
        );
        for what in silent {
            score.figure("silent loss", what);
        }
    }
}

/// A damaged file.
struct Wound {
    file: PathBuf,
    /// How large it was.
    size: usize,
    /// Where, and what is there now; nothing when the rest is gone.
    at: usize,
    byte: Option<u8>,
}

/// Damages the largest file of the log.
fn wound(store: &Path, damage: Damage, dice: &mut StdRng) -> Result<Wound> {
    let folder = store.join("jetstream/$G/streams/LOG/msgs");
    let file = largest(&folder)?;
    let mut bytes = fs::read(&file)?;
    let size = bytes.len();
    let at = match damage {
        Damage::Flip => {
            let from = dice.random_range(size / 4..size * 3 / 4);
            let token = bytes[from..].windows(TOKEN.len()).position(|it| it == TOKEN);
            let at = from + token.context("the log holds tokens")?;
            bytes[at] ^= 1 << dice.random_range(0..8);
            at
        }
        Damage::Cut => {
            bytes.truncate(size * 2 / 3);
            bytes.len()
        }
    };
    let byte = bytes.get(at).copied();
    fs::write(&file, bytes)?;
    Ok(Wound { file, size, at, byte })
}

impl Wound {
    /// Whether the file is still as damaged as it was.
    fn is_open(&self) -> bool {
        fs::read(&self.file).is_ok_and(|it| it.get(self.at).copied() == self.byte)
    }
}

fn largest(folder: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no log in {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "blk") {
            found.push((path.metadata()?.len(), path));
        }
    }
    Ok(found.into_iter().max().context("the log has a file")?.1)
}

/// Reads every session from the damaged server.
async fn read(stage: &Stage, victim: usize, tales: &[Tale]) -> Told {
    let mut told = Told::default();
    for (tale, read) in tales.iter().zip(copies::read(stage, victim, tales).await) {
        let log = tale.histories.first().map(Vec::as_slice).unwrap_or_default();
        match read {
            Err(_no_answer) => told.refused += 1,
            Ok(frames) if raw(&frames) == raw(log) => told.whole += 1,
            Ok(frames) if frames.iter().any(|it| it.is("gap")) => told.aloud += 1,
            Ok(frames) => told.silent.push(differs(&tale.session, log, &frames)),
        }
    }
    told
}

fn differs(session: &str, log: &[Frame], told: &[Frame]) -> String {
    let same = log.iter().zip(told).take_while(|(one, other)| one == other).count();
    format!("{session}: {} of {} frames, {same} of them alike", told.len(), log.len())
}

/// Takes the damaged store away: the others have everything.
async fn heal(stage: &mut Stage, victim: usize, score: &mut Score) -> Result<()> {
    stage.node(victim).kill().await?;
    stage.node(victim).lose_store()?;
    stage.node(victim).restart().await?;
    stage.cluster()?.ready().await?;
    copies::agree(stage, "LOG", score).await
}
