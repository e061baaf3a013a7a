//! Decisions over a store that refuses, forgets to answer and loses writes.

use std::sync::Mutex;

use async_trait::async_trait;
use broker::Result as Stored;
use broker::sqlite::Place;
use proto::{Session, TurnId};

use super::*;

const WEEK: Duration = Duration::from_hours(7 * 24);
const G: u64 = 3;

/// What becomes of the next puts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    /// Done, but the answer is lost.
    Unheard,
    /// Not done.
    Lost,
    /// The session is erased a moment before.
    Erasing,
}

/// A store that fails as it is told to.
#[derive(Debug)]
struct Doubtful {
    records: Arc<dyn Records>,
    next: Mutex<Vec<Put>>,
}

impl Doubtful {
    /// A store in which the session's transcript has the generation.
    async fn new(next: &[Put]) -> Arc<Self> {
        let place = broker::sqlite::open(Place::Memory, broker::Limits::default());
        let records = place.await.unwrap().records;
        mark(&*records, Transcript { generation: G, ..Transcript::default() }).await;
        Arc::new(Self { records, next: Mutex::new(next.to_vec()) })
    }

    fn reviews(self: &Arc<Self>) -> Reviews {
        Reviews::new(Arc::<Self>::clone(self))
    }

    async fn stored(&self) -> Review {
        let found = self.records.get(Bucket::Reviews, &name(&key(1))).await.unwrap();
        decode(&found.expect("a review")).unwrap()
    }
}

#[async_trait]
impl Records for Doubtful {
    async fn get(&self, bucket: Bucket, key: &broker::Key) -> Stored<Option<Record>> {
        self.records.get(bucket, key).await
    }

    async fn put(
        &self,
        bucket: Bucket,
        key: &broker::Key,
        value: bytes::Bytes,
        expected: Expected,
    ) -> Stored<u64> {
        let silent = || Err(broker::Error::Unavailable("no answer".to_owned()));
        let next = self.next.lock().unwrap().pop();
        match next {
            Some(Put::Lost) => return silent(),
            Some(Put::Erasing) => {
                let erasing = true;
                let generation = G + 1;
                mark(&*self.records, Transcript { generation, erasing, ..Transcript::default() })
                    .await;
            }
            Some(Put::Unheard) | None => {}
        }
        let put = self.records.put(bucket, key, value, expected).await;
        if next == Some(Put::Unheard) { silent() } else { put }
    }

    async fn delete(&self, bucket: Bucket, key: &broker::Key) -> Stored<()> {
        self.records.delete(bucket, key).await
    }

    async fn list(&self, bucket: Bucket, prefix: &broker::Key) -> Stored<Vec<broker::Key>> {
        self.records.list(bucket, prefix).await
    }

    async fn all(&self, bucket: Bucket) -> Stored<Vec<broker::Key>> {
        self.records.all(bucket).await
    }
}

async fn mark(records: &dyn Records, transcript: Transcript) {
    let value = transcript.encode_to_vec().into();
    records.put(Bucket::Transcripts, &name(&key(1)), value, Expected::Any).await.unwrap();
}

fn key(turn: u8) -> Key {
    let turn: TurnId = format!("00000000-0000-7000-8000-0000000000{turn:02}").parse().unwrap();
    Key { session: Session::parse("ann", "s").unwrap(), turn }
}

fn call(id: &str) -> PendingCall {
    PendingCall {
        call_id: id.to_owned(),
        name: "files__write".to_owned(),
        arguments: r#"{"path":"a"}"#.to_owned(),
        ..PendingCall::default()
    }
}

fn calls(ids: &[&str]) -> Vec<PendingCall> {
    ids.iter().map(|it| call(it)).collect()
}

fn ids(calls: &[PendingCall]) -> Vec<&str> {
    calls.iter().map(|it| it.call_id.as_str()).collect()
}

/// Decisions on calls that turn 1 asked for, as the type and the text say.
fn resume(of: u8, decisions: &[(&str, &str, &str)]) -> Resume {
    let decisions = decisions.iter().map(|(id, kind, text)| {
        let text = (*text).to_owned();
        let (arguments, message) =
            if *kind == "edit" { (text, String::new()) } else { (String::new(), text) };
        let arguments_hash = arguments_hash(&key(1).session, key(1).turn, &call(id));
        let (call_id, r#type) = ((*id).to_owned(), (*kind).to_owned());
        Decision { call_id, arguments_hash, r#type, arguments, message }
    });
    Resume { turn_id: key(of).turn.to_string(), decisions: decisions.collect() }
}

fn fits(_: &str, arguments: &str) -> Result<(), String> {
    if arguments.contains("path") { Ok(()) } else { Err("`path` is needed".to_owned()) }
}

fn code_of(undecided: Result<Decided, Undecided>) -> (&'static str, String) {
    match undecided {
        Err(Undecided::Refused { code, message }) => (code, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pending_calls_are_decided_one_by_one_or_together_and_each_once() {
    let reviews = Doubtful::new(&[]).await.reviews();
    let said = reviews.open(&key(1), G, calls(&["a", "b", "c"]), Some(WEEK)).await.unwrap();
    assert_eq!(ids(&said.calls), ["a", "b", "c"]);
    assert!(said.expires.is_some());
    assert_eq!(said.calls[0].summary, r#"write in files: path = "a""#);
    assert_eq!((said.calls[0].arguments_hash.len(), said.calls[0].reason.as_str()), (64, "review"));

    let first = resume(1, &[("b", "reject", "no")]);
    let decided = reviews.decide(&key(2), G, &first, fits).await.unwrap();
    assert_eq!(decided.calls, [(said.calls[1].clone(), Answer::Reject("no".into()))]);
    assert_eq!(ids(&decided.remaining), ["a", "c"]);
    let again = reviews.open(&key(2), G, Vec::new(), Some(WEEK)).await.unwrap();
    assert_eq!((ids(&again.calls), again.expires), (vec!["a", "c"], said.expires));

    let late = reviews.decide(&key(3), G, &resume(1, &[("b", "accept", "")]), fits).await;
    assert_eq!(code_of(late), ("decision_refused", "the call `b` is decided already".into()));
    let rest = resume(2, &[("c", "respond", "42"), ("a", "edit", r#"{"path":"b"}"#)]);
    let decided = reviews.decide(&key(4), G, &rest, fits).await.unwrap();
    let answers: Vec<_> = decided.calls.into_iter().map(|it| it.1).collect();
    assert_eq!(answers, [Answer::Edit(r#"{"path":"b"}"#.into()), Answer::Respond("42".into())]);
    assert!(decided.remaining.is_empty());
}

#[tokio::test]
async fn of_two_turns_that_decide_the_same_call_at_once_exactly_one_does() {
    let store = Doubtful::new(&[]).await;
    let reviews = store.reviews();
    reviews.open(&key(1), G, calls(&["a", "b"]), None).await.unwrap();
    let (mine, theirs) = (resume(1, &[("a", "accept", "")]), resume(1, &[("a", "reject", "")]));
    let (key_2, key_3) = (key(2), key(3));
    let (one, other) = tokio::join!(
        reviews.decide(&key_2, G, &mine, fits),
        reviews.decide(&key_3, G, &theirs, fits),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(store.stored().await.decided.len(), 1);
}

#[tokio::test]
async fn all_decisions_of_a_request_count_or_none() {
    let store = Doubtful::new(&[]).await;
    let reviews = store.reviews();
    reviews.open(&key(1), G, calls(&["a", "b"]), None).await.unwrap();
    let wrong = resume(1, &[("a", "accept", ""), ("b", "edit", r#"{"x":1}"#)]);
    let (code, message) = code_of(reviews.decide(&key(2), G, &wrong, fits).await);
    assert_eq!(code, "decision_refused");
    assert!(message.ends_with("cannot be made like that now: `path` is needed"), "{message}");
    let mut altered = resume(1, &[("a", "accept", ""), ("b", "accept", "")]);
    altered.decisions[1].arguments_hash = "0".repeat(64);
    assert_eq!(code_of(reviews.decide(&key(2), G, &altered, fits).await).0, "decision_refused");
    assert!(store.stored().await.decided.is_empty());
}

#[tokio::test]
async fn a_decision_whose_outcome_was_not_heard_counts_once() {
    for puts in [[Put::Unheard, Put::Unheard], [Put::Lost, Put::Unheard]] {
        let store = Doubtful::new(&puts).await;
        let reviews = store.reviews();
        reviews.open(&key(1), G, calls(&["a"]), None).await.unwrap();
        *store.next.lock().unwrap() = puts.to_vec();
        let mine = resume(1, &[("a", "accept", "")]);
        let decided = reviews.decide(&key(2), G, &mine, fits).await.unwrap();
        assert_eq!(decided.calls.len(), 1);
        assert_eq!(reviews.decide(&key(2), G, &mine, fits).await.unwrap(), decided);
        let stored = store.stored().await;
        assert_eq!((stored.turn_ids.len(), stored.decided.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_turn_that_is_run_again_opens_the_same_review() {
    let store = Doubtful::new(&[]).await;
    let reviews = store.reviews();
    let said = reviews.open(&key(1), G, calls(&["a", "b"]), Some(WEEK)).await.unwrap();
    let stored = store.stored().await;
    reviews.close(&key(1), G).await.unwrap();
    assert_eq!(reviews.open(&key(1), G, calls(&["a", "b"]), Some(WEEK)).await.unwrap(), said);
    assert_eq!(store.stored().await, stored, "nothing was written");
    let other = reviews.open(&key(1), G, calls(&["a", "x"]), Some(WEEK)).await.unwrap();
    assert_eq!(ids(&other.calls), ["a", "x"], "what the run before asked for is void");
}

#[tokio::test]
async fn a_new_question_closes_the_review_and_new_calls_begin_another() {
    let store = Doubtful::new(&[]).await;
    let reviews = store.reviews();
    reviews.close(&key(9), G).await.unwrap();
    reviews.open(&key(1), G, calls(&["a"]), None).await.unwrap();
    reviews.close(&key(2), G).await.unwrap();
    let refused = reviews.decide(&key(3), G, &resume(1, &[("a", "accept", "")]), fits).await;
    let (code, message) = code_of(refused);
    assert!(code == "decision_refused" && message.contains("went on"), "{message}");
    let said = reviews.open(&key(2), G, calls(&["b"]), None).await.unwrap();
    assert_eq!(ids(&said.calls), ["b"]);
    let refused = reviews.decide(&key(3), G, &resume(1, &[("a", "accept", "")]), fits).await;
    assert_eq!(code_of(refused).1, "no call of this turn waits for a decision");
}

#[tokio::test]
async fn a_call_whose_outcome_is_unknown_is_asked_about_anew_beside_those_still_undecided() {
    let store = Doubtful::new(&[]).await;
    let reviews = store.reviews();
    let said = reviews.open(&key(1), G, calls(&["a", "b"]), None).await.unwrap();
    let mine = resume(1, &[("a", "accept", "")]);
    reviews.decide(&key(2), G, &mine, fits).await.unwrap();
    let unknown = PendingCall { reason: "outcome_unknown".into(), ..call("a") };
    let asked = reviews.open(&key(2), G, vec![unknown.clone()], None).await.unwrap();
    assert_eq!(ids(&asked.calls), ["b", "a"]);
    assert_eq!(asked.calls[0], said.calls[1], "the call that waits is the same");
    assert_ne!(asked.calls[1].arguments_hash, said.calls[0].arguments_hash);
    assert_eq!(asked.calls[1].reason, "outcome_unknown");
    assert_eq!(reviews.open(&key(2), G, vec![unknown], None).await.unwrap(), asked);

    let again = reviews.decide(&key(2), G, &mine, fits).await.unwrap();
    assert_eq!((again.calls.len(), ids(&again.remaining)), (0, vec!["b", "a"]));
    let stale = reviews.decide(&key(3), G, &mine, fits).await;
    assert!(code_of(stale).1.contains("its hash is another"));
    let rest = resume(1, &[("b", "accept", "")]);
    assert_eq!(reviews.decide(&key(3), G, &rest, fits).await.unwrap().calls.len(), 1);
}

#[tokio::test]
async fn an_expired_review_is_refused_with_a_code_of_its_own() {
    let reviews = Doubtful::new(&[]).await.reviews();
    reviews.open(&key(1), G, calls(&["a"]), Some(Duration::ZERO)).await.unwrap();
    let refused = reviews.decide(&key(2), G, &resume(1, &[("a", "accept", "")]), fits).await;
    assert_eq!(code_of(refused).0, "decision_expired");
}

#[tokio::test]
async fn a_review_of_another_generation_means_nothing() {
    let store = Doubtful::new(&[]).await;
    let reviews = store.reviews();
    reviews.open(&key(1), G, calls(&["a"]), None).await.unwrap();
    let mine = resume(1, &[("a", "accept", "")]);
    for other in [G - 1, G + 1] {
        let refused = reviews.decide(&key(2), other, &mine, fits).await;
        assert_eq!(code_of(refused).0, "decision_refused");
    }
    let said = reviews.open(&key(2), G - 1, calls(&["b"]), None).await.unwrap();
    assert_eq!(ids(&said.calls), ["b"]);
    assert_eq!(ids(&store.stored().await.calls), ["a"], "an erased session's turn writes nothing");
}

#[tokio::test]
async fn nothing_of_a_session_that_is_erased_meanwhile_stays_behind() {
    for puts in [&[Put::Erasing][..], &[Put::Unheard, Put::Erasing]] {
        let store = Doubtful::new(puts).await;
        store.reviews().open(&key(1), G, calls(&["a"]), None).await.unwrap();
        assert_eq!(store.stored().await.calls, []);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_an_error_and_stays() {
    let store = Doubtful::new(&[]).await;
    let newer = Review { version: FORMAT + 1, generation: G, ..Review::default() };
    for value in [newer.encode_to_vec(), vec![0xff; 9]] {
        let value = bytes::Bytes::from(value);
        let at = name(&key(1));
        store.records.put(Bucket::Reviews, &at, value.clone(), Expected::Any).await.unwrap();
        let opened = store.reviews().open(&key(1), G, calls(&["a"]), None).await;
        assert!(matches!(opened, Err(broker::Error::Corrupt(_))), "{opened:?}");
        let found = store.records.get(Bucket::Reviews, &at).await.unwrap();
        assert_eq!(found.unwrap().value, value);
    }
}

#[tokio::test]
async fn decisions_past_what_a_record_holds_are_refused_and_change_nothing() {
    let store = Doubtful::new(&[]).await;
    let reviews = store.reviews();
    let long = || PendingCall { arguments: "x".repeat(400_000), ..call("long") };
    let said = reviews.open(&key(1), G, vec![call("a"), long()], None).await.unwrap();
    let message = "x".repeat(400_000);
    let long = resume(1, &[("a", "respond", &message)]);
    let refused = reviews.decide(&key(2), G, &long, fits).await;
    assert!(code_of(refused).1.contains("too large"));
    assert_eq!(store.stored().await.pending(), said.calls);
}
