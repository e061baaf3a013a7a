//! Which part of Weir a connection is, what of the store it uses, and where its
//! answers come. The rights that a server gives each part are in deploy/nats;
//! this is what they are made from.

use crate::Bucket;

/// The part that a connection plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The HTTP edge: submits, cancels, erases, reads.
    Gateway,
    /// Takes jobs, writes the log, settles.
    Worker,
    /// Keeps transcripts, ledgers, reviews and memory; knows neither jobs nor the
    /// log.
    Agent,
    /// Declares, repairs, and runs everything in one process.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Worker, Self::Agent, Self::Operator];

    /// Its name, also of its user in the shipped configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }

    /// Under which subject its answers come. Nobody else may listen there.
    pub fn inbox(self) -> &'static str {
        match self {
            Self::Gateway => "_INBOX_gateway",
            Self::Worker => "_INBOX_worker",
            Self::Agent => "_INBOX_agent",
            Self::Operator => "_INBOX_operator",
        }
    }

    /// Whether it submits, reads or takes jobs.
    pub(super) fn uses_jobs(self) -> bool {
        match self {
            Self::Gateway | Self::Worker | Self::Operator => true,
            Self::Agent => false,
        }
    }

    /// Whether it takes jobs.
    pub(super) fn takes_jobs(self) -> bool {
        match self {
            Self::Worker | Self::Operator => true,
            Self::Gateway | Self::Agent => false,
        }
    }

    /// Whether it reads or writes the log.
    pub(super) fn uses_log(self) -> bool {
        self.uses_jobs()
    }

    /// The buckets it reads or writes. One more here is a right more in
    /// deploy/nats.
    pub fn buckets(self) -> &'static [Bucket] {
        use Bucket::{
            Agents, DeadLetters, Keys, Ledgers, Memory, Reviews, Secrets, Sessions, Transcripts,
        };
        match self {
            // It erases a session, and with it what every part knows of it; and its
            // users read, write and forget what is remembered about them.
            Self::Gateway => &[
                Sessions,
                Transcripts,
                Reviews,
                Ledgers,
                Memory,
                Keys,
                DeadLetters,
                Secrets,
                Agents,
            ],
            // It tells the list of conversations what became of a turn.
            Self::Worker => &[Sessions, DeadLetters],
            Self::Agent => &[Transcripts, Reviews, Ledgers, Memory, Agents],
            Self::Operator => &Bucket::ALL,
        }
    }
}
