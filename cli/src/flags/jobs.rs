//! The flags of `weir jobs`.

use clap::{Args, Subcommand};

use super::Store;

#[derive(Debug, Args)]
pub(crate) struct Jobs {
    #[command(subcommand)]
    pub(crate) command: JobsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List the jobs that were given up, oldest first
    List(JobsList),
    /// Show one of them whole
    Show(JobsShow),
    /// Put them back into the queue, each as a new turn
    Retry(JobsSome),
    /// Forget them
    Drop(JobsSome),
    /// Count the jobs that wait or are worked on
    Queue(JobsList),
}

#[derive(Debug, Args)]
pub(crate) struct JobsList {
    #[command(flatten)]
    pub(crate) store: Store,
    /// Print JSON, one value a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JobsShow {
    #[command(flatten)]
    pub(crate) store: Store,
    /// Print it as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Which one, as the list names it
    pub(crate) job: String,
}

#[derive(Debug, Args)]
pub(crate) struct JobsSome {
    #[command(flatten)]
    pub(crate) store: Store,
    /// All of them
    #[arg(long, conflicts_with = "jobs")]
    pub(crate) all: bool,
    /// Print JSON, what became of one a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Which ones, as the list names them
    #[arg(value_name = "JOB", required_unless_present = "all")]
    pub(crate) jobs: Vec<String>,
}
