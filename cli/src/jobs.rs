//! `weir jobs`: what was given up, and what waits.
//!
//! Opens the broker itself, or asks the process that holds the embedded store;
//! what is done is the same, and is in `letters`.

pub(crate) mod letters;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use broker::Broker;
use broker::nats::Role;

use crate::control::Remote;
use crate::flags::{Jobs, JobsCommand, JobsList, JobsShow, JobsSome, Store};
use crate::{Ended, banner, output, store};
use letters::{Answer, Letter, Request, answer};

/// How long an operation may take where no process is in between.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn run(flags: Jobs) -> Ended {
    match flags.command {
        JobsCommand::List(flags) => list(flags).await,
        JobsCommand::Show(flags) => show(flags).await,
        JobsCommand::Retry(flags) => each(flags, |job| Request::Retry { job }).await,
        JobsCommand::Drop(flags) => each(flags, |job| Request::Drop { job }).await,
        JobsCommand::Queue(flags) => queue(flags).await,
    }
}

async fn list(flags: JobsList) -> Ended {
    let letters = Access::open(&flags.store).await?.letters().await?;
    if flags.json {
        letters.iter().try_for_each(output::json)?;
    } else {
        output::print(&table::list(&letters))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(flags: JobsShow) -> Ended {
    let mut access = Access::open(&flags.store).await?;
    let answer = access.ask(Request::Show { job: flags.job }).await?;
    let Answer::Letter { letter, content } = answer else {
        return Err(unexpected(&answer));
    };
    if flags.json {
        output::json(&serde_json::json!({ "letter": letter, "content": content }))?;
    } else {
        output::print(&table::show(&letter, &content))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One request for each job named, or for all; goes on behind one that is
/// refused.
async fn each(flags: JobsSome, request: impl Fn(String) -> Request) -> Ended {
    let mut access = Access::open(&flags.store).await?;
    let jobs = if flags.all {
        access.letters().await?.into_iter().map(|it| it.key).collect()
    } else {
        flags.jobs
    };
    if jobs.is_empty() && !flags.json {
        output::line("no job was given up")?;
    }
    let mut code = ExitCode::SUCCESS;
    for job in jobs {
        match access.ask(request(job)).await {
            Ok(Answer::Done(done)) if flags.json => output::json(&done)?,
            Ok(Answer::Done(done)) => output::line(&table::done(&done))?,
            Ok(answer) => return Err(unexpected(&answer)),
            Err(error) => {
                banner::error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn queue(flags: JobsList) -> Ended {
    let answer = Access::open(&flags.store).await?.ask(Request::Depth {}).await?;
    let Answer::Depth(depth) = answer else {
        return Err(unexpected(&answer));
    };
    if flags.json {
        output::json(&serde_json::json!({ "depth": depth }))?;
    } else {
        output::line(&format!("unfinished jobs: {depth}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn unexpected(answer: &Answer) -> anyhow::Error {
    anyhow!("the running weir is of another version: it answers {answer:?}")
}

/// The way to the jobs.
enum Access {
    Broker(Broker),
    /// The embedded store is held by a process that serves it.
    Remote(Box<Remote>),
}

impl Access {
    async fn open(flags: &Store) -> anyhow::Result<Self> {
        ensure!(!flags.ephemeral, "what --ephemeral keeps is gone with its process");
        let Some(folder) = store::folder(flags)? else {
            return Ok(Self::Broker(store::open(flags, Role::Operator).await?));
        };
        if let Some(remote) = Remote::connect(&folder).await? {
            return Ok(Self::Remote(Box::new(remote)));
        }
        ensure!(
            folder.join("weir.db").exists(),
            "no store is in {}; name its folder with --data, or servers with --nats",
            folder.display()
        );
        let opened = store::open(flags, Role::Operator).await;
        Ok(Self::Broker(
            opened.context("neither a running weir answers here, nor can it be opened")?,
        ))
    }

    /// Asks; a refusal is an error.
    async fn ask(&mut self, request: Request) -> anyhow::Result<Answer> {
        let answer = match self {
            Self::Remote(remote) => remote.ask(&request).await?,
            Self::Broker(broker) => {
                let asked = tokio::time::timeout(PATIENCE, Box::pin(answer(broker, request)));
                asked.await.context("the broker does not answer")?
            }
        };
        if let Answer::Refused(why) = answer {
            bail!("{why}");
        }
        Ok(answer)
    }

    /// All letters, page by page, oldest first.
    async fn letters(&mut self) -> anyhow::Result<Vec<Letter>> {
        let (mut letters, mut after) = (Vec::new(), None);
        loop {
            let answer = self.ask(Request::List { after }).await?;
            let Answer::Letters { letters: page, next } = answer else {
                return Err(unexpected(&answer));
            };
            letters.extend(page);
            after = next;
            if after.is_none() {
                letters.sort_by(|a, b| (&a.buried, &a.key).cmp(&(&b.buried, &b.key)));
                return Ok(letters);
            }
        }
    }
}
