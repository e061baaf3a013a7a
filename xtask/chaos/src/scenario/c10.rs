//! The disks of the nats-servers run full: one, then all. A question is then
//! refused in time, and never accepted without being stored; with space, or
//! with space and a new start of the servers, all goes on.
//!
//! Each store is a tmpfs of its own, which only root may mount.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::{Ground, judged};
use crate::client::{Asked, Client};
use crate::load::{Load, Plan};
use crate::oracle;
use crate::score::{Score, show};
use crate::sitting::{Sitting, question, tell};
use crate::stage::{Plan as Fleet, Stage};

/// The size of a disk, in MiB.
const SIZE: u32 = 64;
/// How long one disk is full, and how long all of them.
const FULL: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(20)];
/// How long the servers may take to go on by themselves, and after a new start.
const RECOVERY: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(40)];
/// A gateway's own limit of 15 s, and some.
const BUDGET: Duration = Duration::from_secs(17);
/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C10", ground.seed);
    // An answer that cannot be remembered anywhere has failed, and says so.
    score.tolerated = &["store_unavailable"];
    let folder = tempfile::tempdir()?;
    let mut disks = Vec::new();
    for at in 0..3 {
        disks.push(Disk::mount(folder.path().join(format!("n{at}/store"))).await?);
    }
    let mut stage = Stage::start_in(folder.path(), ground.binary, Fleet::FULL).await?;
    let plan = Plan { sessions: 8, watchers: 1, ..Plan::default() };
    let load = Load::start(&stage.edges(), plan, "f", ground.seed)?;
    let mut probes = Probes { client: Client::new(stage.edges(), "probe")?, asked: Vec::new() };
    probes.ask_for("before", Duration::from_secs(2), &[], &mut score).await?;
    let leader = stage.leader().await?;
    let (one, all) = (vec![&disks[leader]], disks.iter().collect::<Vec<_>>());
    for (name, full, time) in [("one full", one, FULL[0]), ("all full", all, FULL[1])] {
        probes.ask_for(name, time, &full, &mut score).await?;
        score.fault(name);
    }
    recover(&mut stage, &disks, &mut probes, &mut score).await?;
    judged(&stage, load, &mut score).await;
    oracle::judge(&tell(&probes.asked).await, &[], &mut score);
    Ok(score)
}

/// Space returns. Servers that have given up storing are started anew, as an
/// operator would do.
async fn recover(
    stage: &mut Stage,
    disks: &[Disk],
    probes: &mut Probes,
    score: &mut Score,
) -> Result<()> {
    for disk in disks {
        disk.free()?;
    }
    let freed = Instant::now();
    if probes.accepted_within(RECOVERY[0]).await {
        score.figure("recovery", format!("{} after space returned", show(freed.elapsed())));
        return Ok(());
    }
    let again = Instant::now();
    for at in 0..stage.nodes() {
        stage.node(at).launch().await?;
    }
    let accepted = probes.accepted_within(RECOVERY[1]).await;
    score.expect(accepted, || format!("nothing was accepted {RECOVERY:?} after space returned"));
    let took = show(again.elapsed());
    score.figure("recovery", format!("{took} after the servers were started anew"));
    stage.cluster()?.ready().await
}

/// Questions, each in a session of its own.
struct Probes {
    client: Client,
    asked: Vec<Sitting>,
}

impl Probes {
    /// Asks one question after the other, these disks being full, and notes how
    /// they were answered.
    async fn ask_for(
        &mut self,
        name: &str,
        time: Duration,
        full: &[&Disk],
        score: &mut Score,
    ) -> Result<()> {
        let until = Instant::now() + time;
        let (mut answers, mut took) = (BTreeMap::<String, usize>::new(), Vec::new());
        while Instant::now() < until {
            for disk in full {
                disk.fill()?;
            }
            let began = Instant::now();
            *answers.entry(self.ask().await).or_default() += 1;
            took.push(began.elapsed());
            sleep(PAUSE).await;
        }
        let late = took.iter().filter(|it| **it > BUDGET).count();
        score.expect(late == 0, || format!("{name}: {late} answers took more than {BUDGET:?}"));
        let accepted = answers.get("202").copied().unwrap_or_default();
        let all: usize = answers.values().sum();
        match name {
            "before" => score.expect(accepted == all, || format!("refused before: {answers:?}")),
            "all full" => score.expect(accepted < all, || "nothing was refused".to_owned()),
            _ => {}
        }
        let answers: Vec<_> = answers.iter().map(|(it, n)| format!("{it} {n}×")).collect();
        score.figure(name, answers.join(", "));
        score.times("answered in", &took);
        Ok(())
    }

    /// Asks until one question is accepted.
    async fn accepted_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.ask().await == "202" {
                return true;
            }
            sleep(PAUSE).await;
        }
        false
    }

    /// Asks once; the status of the answer.
    async fn ask(&mut self) -> String {
        let at = self.asked.len();
        let sitting = Sitting::new(self.client.clone(), format!("probe{at}"));
        let name = format!("probe{at}");
        let (key, body) = (sitting.key(&name), question(&name, 1, 0));
        let response = self.client.submit(at, &sitting.session, &key, &body).await;
        let (asked, status) = match response {
            Ok(response) => {
                let status = response.status();
                let said: Value = response.json().await.unwrap_or_default();
                let turn = said["turnId"].as_str().filter(|_| status.is_success());
                match turn {
                    Some(turn) => (Asked::Accepted(turn.to_owned()), status.as_str().to_owned()),
                    // It may have been stored all the same; then it must be whole.
                    None if status.is_server_error() => {
                        let code = said["code"].as_str().unwrap_or_default();
                        (Asked::Unknown, format!("{status} {code}"))
                    }
                    None => (Asked::Refused(status.as_u16()), status.to_string()),
                }
            }
            Err(_no_answer) => (Asked::Unknown, "no answer".to_owned()),
        };
        sitting.note(&name, 1, asked);
        self.asked.push(sitting);
        status
    }
}

/// A disk that can be full. Unmounted when dropped.
struct Disk {
    at: PathBuf,
}

impl Disk {
    async fn mount(at: PathBuf) -> Result<Self> {
        fs::create_dir_all(&at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}m"), "weir-chaos"]).arg(&at);
        let mounted = mount.status().await.context("`mount` cannot be run")?;
        ensure!(mounted.success(), "a disk of {SIZE} MiB cannot be mounted: this needs root");
        Ok(Self { at })
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Takes what space there is.
    fn fill(&self) -> Result<()> {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast())?;
        for block in [1 << 20, 4096] {
            let zeros = vec![0; block];
            loop {
                match ballast.write(&zeros) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(why) if why.kind() == ErrorKind::StorageFull => break,
                    Err(why) => return Err(why.into()),
                }
            }
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut unmount = std::process::Command::new("umount");
        // What stays mounted is told by the next `mount`; nobody is here to hear.
        drop(unmount.arg("--lazy").arg(&self.at).status());
    }
}
