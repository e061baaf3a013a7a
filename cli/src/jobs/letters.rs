//! Dead letters, over any broker: listed, shown, put back, dropped.
//!
//! A letter leaves only after its question was accepted again, under an id that
//! follows from the letter: whatever breaks in between, doing it again does it
//! once. Refuses to put back what nobody can read, and what has not ended yet.

use broker::{Admission, Broker, Bucket, Key, Log, Records, Sequence, Submitted};
use process::clock;
use prost::Message as _;
use proto::{DeadLetter, FORMAT, Job, Session, TurnId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plain;

/// Letters on one page of the list.
const PAGE: usize = 200;
/// Characters of a reason in the list.
const REASON: usize = 500;
/// Entries of a log looked at in one reading.
const READ: usize = 256;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A page of letters, in the order of their keys.
    List { after: Option<String> },
    /// One letter, whole.
    Show { job: String },
    /// Put one back.
    Retry { job: String },
    /// Forget one.
    Drop { job: String },
    /// The number of unfinished jobs.
    Depth {},
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Letters {
        letters: Vec<Letter>,
        /// Where the next page begins; nothing on the last one.
        next: Option<String>,
    },
    Letter {
        letter: Box<Letter>,
        /// The letter as canonical JSON.
        content: Value,
    },
    Done(Done),
    Depth(u64),
    /// Why not, and what to do instead.
    Refused(String),
}

/// A letter in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter {
    /// What names it everywhere.
    pub(crate) key: String,
    /// Whose; empty when that is not known.
    pub(crate) user: String,
    pub(crate) session: String,
    /// Its turn; nothing when the job cannot be read.
    pub(crate) turn: Option<String>,
    /// Why it was given up: the word and the sentence.
    pub(crate) code: String,
    pub(crate) reason: String,
    /// When, as RFC 3339 has it; empty when that is not known.
    pub(crate) buried: String,
    /// How long ago, in seconds.
    pub(crate) age: u64,
}

/// What was done with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    /// The letter's key.
    pub(crate) key: String,
    /// The new turn, when it was put back.
    pub(crate) turn: Option<String>,
    /// It had been put back before; only the letter was still there.
    pub(crate) repeated: bool,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Broker(#[from] broker::Error),
    #[error("no job that was given up is called {0}; see `weir jobs list`")]
    Unknown(String),
    #[error("{0} is in several keys; name one of them whole, see `weir jobs list --json`")]
    Ambiguous(String),
    #[error(
        "{key} cannot be put back: {why}; look at it with `weir jobs show {key}`, \
         and forget it with `weir jobs drop {key}`"
    )]
    Unreadable { key: Key, why: String },
    #[error("{0} has not ended yet; try again in a moment")]
    Unfinished(TurnId),
    #[error(
        "{0}: its session has as many waiting turns as it may have; try again when some have ended"
    )]
    SessionFull(Key),
}

/// Does what is asked.
pub(crate) async fn answer(broker: &Broker, request: Request) -> Answer {
    let done = match request {
        Request::List { after } => list(broker, after).await,
        Request::Show { job } => show(broker, &job).await,
        Request::Retry { job } => retry(broker, &job).await.map(Answer::Done),
        Request::Drop { job } => forget(broker, &job).await.map(Answer::Done),
        Request::Depth {} => broker.queue.depth().await.map(Answer::Depth).map_err(Refusal::from),
    };
    done.unwrap_or_else(|refusal| Answer::Refused(refusal.to_string()))
}

async fn list(broker: &Broker, after: Option<String>) -> Result<Answer, Refusal> {
    let keys = broker.records.all(Bucket::DeadLetters).await?;
    let new = |it: &&Key| after.as_ref().is_none_or(|after| it.to_string() > *after);
    let mut keys = keys.iter().filter(new).peekable();
    let (mut letters, mut next) = (Vec::new(), None);
    for key in keys.by_ref().take(PAGE) {
        next = Some(key.to_string());
        // It may have been put back meanwhile.
        if let Some(found) = read(&*broker.records, key).await? {
            letters.push(found.summary());
        }
    }
    let next = next.filter(|_| keys.peek().is_some());
    Ok(Answer::Letters { letters, next })
}

async fn show(broker: &Broker, name: &str) -> Result<Answer, Refusal> {
    let found = find(&*broker.records, name).await?;
    let content = match &found.letter {
        Ok(letter) => serde_json::to_value(letter).unwrap_or_default(),
        Err(why) => Value::String(why.clone()),
    };
    Ok(Answer::Letter { letter: Box::new(found.summary()), content })
}

async fn retry(broker: &Broker, name: &str) -> Result<Done, Refusal> {
    let found = find(&*broker.records, name).await?;
    let question = match found.question() {
        Ok(question) => question,
        Err(why) => return Err(Refusal::Unreadable { key: found.key, why }),
    };
    let Question { session, turn, job } = question;
    // Filed first, ended second: in between it may still go on.
    let pending = broker.queue.pending(&session).await?;
    if pending.iter().any(|it| it.turn == turn) {
        return Err(Refusal::Unfinished(turn));
    }
    // The queue forgets what is long finished, the log does not.
    let known = has_run(&*broker.log, &session, &job.turn_id).await?;
    let repeated = known
        || match broker.queue.submit(&session, &job, Admission::Enqueue).await {
            Ok(Submitted::Accepted(_)) => false,
            Ok(Submitted::Duplicate) => true,
            Err(broker::Error::Full(_)) => return Err(Refusal::SessionFull(found.key)),
            Err(error) => return Err(error.into()),
        };
    broker.records.delete(Bucket::DeadLetters, &found.key).await?;
    Ok(Done { key: found.key.to_string(), turn: Some(job.turn_id), repeated })
}

async fn forget(broker: &Broker, name: &str) -> Result<Done, Refusal> {
    let key = resolve(&*broker.records, name).await?;
    broker.records.delete(Bucket::DeadLetters, &key).await?;
    Ok(Done { key: key.to_string(), turn: None, repeated: false })
}

/// Whether a session's log knows a turn, as far back as it reaches.
async fn has_run(log: &dyn Log, session: &Session, turn: &str) -> Result<bool, Refusal> {
    let Some(last) = log.last(session).await? else {
        return Ok(false);
    };
    let mut after = Sequence::START;
    while after < last.sequence {
        let entries = log.read(session, after, READ).await?;
        let Some(end) = entries.last() else {
            let why = "the log lags behind; try again".to_owned();
            return Err(broker::Error::Unavailable(why).into());
        };
        after = end.sequence;
        if entries.iter().any(|it| it.entry.turn_id == turn) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A letter with its key, or why it cannot be read.
struct Found {
    key: Key,
    letter: Result<DeadLetter, String>,
}

/// What is put back.
struct Question {
    session: Session,
    /// The turn that was given up.
    turn: TurnId,
    /// Its job, under its new turn.
    job: Job,
}

impl Found {
    fn summary(&self) -> Letter {
        let empty = DeadLetter::default();
        let (letter, why) = match &self.letter {
            Ok(letter) => (letter, letter.reason.as_str()),
            Err(why) => (&empty, why.as_str()),
        };
        let job = letter.job.as_ref();
        let mut names = self.key.names();
        // Without a session the key is only a number.
        let known = names.len() > 2;
        let mut owner = names.drain(..).take(2);
        let mut name = |of_job: Option<&String>| {
            let of_key = owner.next().filter(|_| known);
            of_job.cloned().or(of_key).unwrap_or_default()
        };
        let buried = letter.buried.as_ref();
        let seconds = buried.and_then(|it| u64::try_from(it.seconds).ok());
        Letter {
            user: name(job.map(|it| &it.user_id)),
            session: name(job.map(|it| &it.session_id)),
            turn: job.map(|it| it.turn_id.clone()),
            key: self.key.to_string(),
            code: letter.code.clone(),
            reason: plain::shortened(why, REASON),
            buried: buried.map(time).unwrap_or_default(),
            age: seconds.map_or(0, |it| clock::now().as_secs().saturating_sub(it)),
        }
    }

    fn question(&self) -> Result<Question, String> {
        let letter = self.letter.as_ref().map_err(Clone::clone)?;
        let Some(job) = &letter.job else {
            return Err(format!("its job cannot be read ({})", letter.reason));
        };
        if job.version != FORMAT {
            return Err(format!("its job has format {}, not {FORMAT}", job.version));
        }
        let session = Session::parse(&job.user_id, &job.session_id);
        let session = session.map_err(|(field, why)| format!("its {field} {why}"))?;
        let turn: TurnId = job.turn_id.parse().map_err(|why| format!("its turnId {why}"))?;
        let buried = letter.buried.unwrap_or_default();
        let again = turn.again(&format!("put back {}.{:09}", buried.seconds, buried.nanos));
        let job = Job {
            turn_id: again.to_string(),
            submitted: Some(proto::timestamp(clock::now())),
            // The key that this was made for names the turn that failed.
            fingerprint: Vec::new().into(),
            // The conversation may have gone on, and what it said since must stay.
            replaces: String::new(),
            behind: None,
            ..job.clone()
        };
        Ok(Question { session, turn, job })
    }
}

fn time(at: &impl Serialize) -> String {
    let value = serde_json::to_value(at).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

async fn read(records: &dyn Records, key: &Key) -> Result<Option<Found>, Refusal> {
    let record = records.get(Bucket::DeadLetters, key).await?;
    Ok(record.map(|it| Found {
        key: key.clone(),
        letter: DeadLetter::decode(it.value).map_err(|error| format!("the letter itself: {error}")),
    }))
}

async fn find(records: &dyn Records, name: &str) -> Result<Found, Refusal> {
    let key = resolve(records, name).await?;
    let found = read(records, &key).await?;
    found.ok_or_else(|| Refusal::Unknown(name.to_owned()))
}

/// The key that is meant: named whole, or by its last part, which is the turn.
async fn resolve(records: &dyn Records, name: &str) -> Result<Key, Refusal> {
    let keys = records.all(Bucket::DeadLetters).await?;
    let mut meant: Vec<_> = keys.iter().filter(|it| it.to_string() == name).collect();
    if meant.is_empty() {
        let last = |it: &&Key| it.names().last().is_some_and(|last| last == name);
        meant = keys.iter().filter(last).collect();
    }
    match meant[..] {
        [key] => Ok(key.clone()),
        [] => Err(Refusal::Unknown(name.to_owned())),
        [..] => Err(Refusal::Ambiguous(name.to_owned())),
    }
}

#[cfg(test)]
mod tests;
