//! Every wait for an agent has an end, and its link may die without a word.

use std::time::Duration;

use broker::{Admission, Outcome, append};
use proto::{AskEvent, CancelRequested, Ending, Entry, Event, Job, TurnId, code, event};
use testkit::proxy::{Direction, Proxy};
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::agent::{Line, completed, ended, rewind, rewind_to, said, text, tool_call};
use crate::shop::Shop;
use crate::{failure, kinds, shown, spoken};

const NEVER: Duration = Duration::from_hours(1);

#[tokio::test]
async fn an_agent_that_falls_silent_fails_the_turn_and_is_told_to_stop() {
    let mut shop = Shop::new(vec![vec![text(1, "kept"), Line::Hold]]).await;
    shop.times.silence = Duration::from_millis(200);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    assert_eq!((spoken(&events), failure(&events)), ("kept".into(), code::AGENT_SILENT.into()));
    shop.until_cancelled().await;
    shop.until_hung_up().await;
    shop.until_empty().await;
}

#[tokio::test]
async fn a_turn_that_speaks_for_ever_is_ended_and_keeps_its_text() {
    let mut lines = Vec::new();
    for index in 1..1000 {
        lines.extend([text(index, "x"), Line::Pause(Duration::from_millis(20))]);
    }
    let mut shop = Shop::new(vec![lines]).await;
    shop.times.turn = Duration::from_millis(200);
    shop.times.silence = Duration::from_millis(150);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    assert!(spoken(&events).len() > 1);
    assert_eq!(failure(&events), code::TURN_TIMEOUT);
    shop.until_cancelled().await;
}

#[tokio::test]
async fn another_agent_is_asked_when_one_fails_and_the_text_stays_exact() {
    let first = vec![said(7, 1, "a"), said(7, 2, "b"), Line::Break(Code::Unavailable)];
    let other = vec![rewind(9), said(9, 1, "A"), said(9, 2, "B"), Line::Break(Code::Unavailable)];
    let back = vec![rewind(7), said(7, 3, "abc"), ended(7, 4)];
    let shop = Shop::with(2, vec![first, other, back], NEVER).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!(shown(&events), "abc");
    assert_eq!((state.run, state.last_index, state.ending()), (7, 4, Ending::Completed));
    let has: Vec<_> = shop.calls().iter().map(|it| (it.resume_run, it.resume_after)).collect();
    assert_eq!(has, [(0, 0), (7, 2), (9, 2)]);
    let asked = shop.asked();
    assert_ne!(asked[0], asked[1], "the one that failed is passed over");
}

#[tokio::test]
async fn another_agent_goes_on_from_the_last_step_and_what_was_said_before_it_stays() {
    let broken = || Line::Break(Code::Unavailable);
    let first =
        vec![said(7, 1, "a"), said(7, 2, "b"), tool_call(7, 3), said(7, 4, "lost"), broken()];
    let second = vec![rewind_to(9, 3), said(9, 4, "c"), tool_call(9, 5), broken()];
    // It has all that is known, and a place that was stored before.
    let third = vec![rewind_to(8, 5), said(8, 6, "d"), broken()];
    let fourth = vec![said(8, 5, "known"), said(8, 7, "e"), ended(8, 8)];
    let shop = Shop::with(2, vec![first, second, third, fourth], NEVER).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!(shown(&events), "abcde");
    let (run, last) = (state.run, (state.last_index, state.furthest));
    assert_eq!((run, last, state.ending()), (8, (8, 8), Ending::Completed));
    let has: Vec<_> = shop.calls().iter().map(|it| (it.resume_run, it.resume_after)).collect();
    assert_eq!(has, [(0, 0), (7, 4), (9, 5), (8, 6)]);
    let calls = kinds(&events).into_iter().filter(|it| *it == "tool_call").count();
    assert_eq!(calls, 2, "no call is told twice");
}

#[tokio::test]
async fn the_next_attempt_knows_which_run_the_log_has() {
    let first = vec![said(7, 1, "a"), said(7, 2, "b"), Line::Hold];
    let second = vec![rewind(9), said(9, 1, "A"), ended(9, 2)];
    let shop = Shop::new(vec![first, second]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    let process = process::Lifecycle::new();
    shop.work_until(&process);
    shop.until(|events| spoken(events) == "ab").await;
    process.drain();
    process.wait(Duration::from_secs(10)).await.unwrap();
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    assert_eq!(shown(&events), "A");
    assert_eq!((shop.calls()[1].resume_run, shop.calls()[1].resume_after), (7, 2));
}

#[tokio::test]
async fn a_link_that_dies_without_a_word_is_noticed_and_the_turn_goes_on_elsewhere() {
    let first = vec![said(7, 1, "a"), said(7, 2, "b"), Line::Hold];
    let second = vec![rewind(9), said(9, 1, "A"), said(9, 2, "B"), ended(9, 3)];
    let mut shop = Shop::with(2, vec![first, second], NEVER).await;
    let mut links = Vec::new();
    for place in &mut shop.places {
        let link = Proxy::start(*place).await.unwrap();
        *place = link.address();
        links.push(link);
    }
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| spoken(events) == "ab").await;
    links[shop.asked()[0]].stall(Direction::Both);
    let stalled = Instant::now();
    let (events, _) = shop.until_end(&turn).await;
    let noticed = stalled.elapsed();
    assert_eq!(shown(&events), "AB");
    assert!(noticed < Duration::from_secs(15), "{noticed:?}");
    let asked = shop.asked();
    assert_ne!(asked[0], asked[1]);
}

#[tokio::test]
async fn a_cancel_waits_for_the_agent_that_runs_the_turn_only() {
    let mut shop = Shop::with(2, vec![vec![text(1, "kept"), Line::Hold]], NEVER).await;
    let mut links = Vec::new();
    for place in &mut shop.places {
        let link = Proxy::start(*place).await.unwrap();
        *place = link.address();
        links.push(link);
    }
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| spoken(events) == "kept").await;
    links[1 - shop.asked()[0]].stall(Direction::Both);
    let asked = Instant::now();
    shop.say(&turn, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!((spoken(&events).as_str(), state.ending()), ("kept", Ending::Cancelled));
    assert!(asked.elapsed() < Duration::from_millis(800), "{:?}", asked.elapsed());
    assert_eq!(shop.cancels(), [turn.to_string()]);
}

#[tokio::test]
async fn an_agent_on_whom_a_cancel_was_lost_is_told_again_once_the_end_is_stored() {
    let shop = Shop::new(vec![vec![text(1, "kept"), Line::Hold]]).await;
    shop.lose_cancels(3);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| spoken(events) == "kept").await;
    shop.say(&turn, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    assert_eq!(shop.until_end(&turn).await.1.ending(), Ending::Cancelled);
    shop.until_told(4).await;
    assert_eq!(shop.cancels(), vec![turn.to_string(); 4]);
}

#[tokio::test]
async fn an_agent_is_told_again_of_a_turn_that_another_attempt_ended_or_that_failed() {
    let shop = Shop::new(vec![]).await;
    shop.lose_cancels(1);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 0, event::Kind::Started(proto::Started::default())).await;
    shop.say(&turn, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    shop.work();
    assert_eq!(shop.until_end(&turn).await.1.ending(), Ending::Cancelled);
    shop.until_told(2).await;

    let mut shop = Shop::new(vec![vec![text(1, "x"), Line::Hold]]).await;
    shop.times.silence = Duration::from_millis(200);
    shop.lose_cancels(1);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    assert_eq!(shop.until_end(&turn).await.1.ending(), Ending::Failed);
    shop.until_told(2).await;
    assert_eq!(shop.cancels(), vec![turn.to_string(); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_rests_leaves_a_distant_writer_room_to_stop_it() {
    let flood = vec![text(1, "x"), Line::Flood(2, 300_000), completed(300_002)];
    let shop = Shop::new(vec![flood]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| !spoken(events).is_empty()).await;
    let mut tries = 0;
    loop {
        tries += 1;
        assert!(tries < 300, "the log goes on too fast");
        let last = shop.last().await;
        // So long is its way.
        sleep(Duration::from_millis(1)).await;
        let last = (last.sequence.0, last.entry.state.as_ref().unwrap());
        let request = event::Kind::CancelRequested(CancelRequested {}).into();
        let entry = Entry::after(Some(last), &turn.to_string(), 0, vec![request]);
        let outcome = append(&*shop.broker.log, &shop.session, &entry).await.unwrap();
        if outcome != Outcome::Refused {
            break;
        }
    }
    assert_eq!(shop.until_end(&turn).await.1.ending(), Ending::Cancelled);
}

#[tokio::test]
async fn an_attempt_that_was_taken_over_says_so_once_for_each_refused_append() {
    let log = Captured::default();
    let heard = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || heard.clone())
        .with_max_level(tracing::Level::INFO)
        .finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let pause = Line::Pause(Duration::from_millis(100));
    let shop = Shop::new(vec![vec![text(1, "a"), pause, text(2, "b"), Line::Hold]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| spoken(events) == "a").await;
    let again = Event::from(event::Kind::Resumed(proto::Resumed {}));
    shop.say_event(&turn, 7, again).await;
    shop.until_hung_up().await;
    let lines = log.text();
    let fenced: Vec<_> = lines.lines().filter(|it| it.contains("attempt.fenced=7")).collect();
    assert_eq!(fenced.len(), 1, "{lines}");
    assert!(fenced[0].contains("attempt.number=1"), "{lines}");
}

#[tokio::test]
async fn a_turn_under_way_ends_although_the_answer_takes_many_short_silences() {
    let mut lines = Vec::new();
    for index in 1..=6 {
        lines.extend([Line::Pause(Duration::from_millis(100)), text(index, "x")]);
    }
    lines.push(completed(7));
    let mut shop = Shop::new(vec![lines]).await;
    shop.times.silence = Duration::from_millis(400);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!((spoken(&events).as_str(), state.ending()), ("xxxxxx", Ending::Completed));
}

#[tokio::test]
async fn an_agent_that_says_nothing_but_that_its_turn_goes_on_is_not_silent() {
    let mut lines = vec![text(1, "x")];
    for _ in 0..8 {
        lines.extend([Line::Pause(Duration::from_millis(100)), Line::Say(AskEvent::alive())]);
    }
    lines.push(completed(2));
    let mut shop = Shop::new(vec![lines]).await;
    shop.times.silence = Duration::from_millis(400);
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!((spoken(&events).as_str(), state.ending()), ("x", Ending::Completed));
    assert_eq!(shop.calls().len(), 1);
}

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Captured(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_place_that_a_turn_takes_is_told_to_its_readers_and_to_every_agent() {
    let first = vec![said(7, 1, "a"), Line::Break(Code::Unavailable)];
    let other = vec![rewind(9), said(9, 1, "b"), ended(9, 2)];
    let shop = Shop::with(2, vec![first, other], NEVER).await;
    let (replaces, behind) = (TurnId::new().to_string(), Some(TurnId::new().to_string()));
    let job = Job { replaces: replaces.clone(), behind: behind.clone(), ..shop.job() };
    shop.broker.queue.submit(&shop.session, &job, Admission::IfEmpty).await.unwrap();
    shop.work();
    let (events, _) = shop.until_end(&job.turn_id.parse().unwrap()).await;
    let Some(event::Kind::Started(started)) = &events[0].kind else { panic!("{events:?}") };
    assert_eq!((started.input.as_str(), &started.replaces), ("why?", &replaces));
    let calls = shop.calls();
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert_eq!((&call.replaces, &call.behind), (&replaces, &behind));
    }
}
