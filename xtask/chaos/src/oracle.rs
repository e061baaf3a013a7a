//! Judges what clients were told against the log and the model. Pure.

use std::collections::{BTreeMap, BTreeSet};

use testkit::model::{Call, Ending};
use testkit::sse::{Frame, raw};

use crate::client::{Asked, Stopped};
use crate::score::Score;
use crate::sitting::{Question, Tale};
use crate::story::{Story, stories};

/// Adds what these sessions tell to the score.
pub fn judge(tales: &[Tale], calls: &[Call], score: &mut Score) {
    for tale in tales {
        let mut judge = Judge { tale, score };
        judge.readers();
        judge.turns();
        judge.times();
    }
    let open = calls.iter().filter(|it| it.ending == Ending::Open).count();
    if open > 0 {
        score.violation(format!("{open} calls to the model are still open after every turn ended"));
    }
    score.calls += calls.len();
}

struct Judge<'a> {
    tale: &'a Tale,
    score: &'a mut Score,
}

impl Judge<'_> {
    fn wrong(&mut self, what: impl std::fmt::Display) {
        self.score.violation(format!("{}: {what}", self.tale.session));
    }

    /// All gateways and all readers tell the same bytes.
    fn readers(&mut self) {
        for trouble in &self.tale.troubles {
            self.wrong(trouble);
        }
        let Some(log) = self.tale.histories.first() else { return };
        let bytes = raw(log);
        for (at, other) in self.tale.histories.iter().enumerate().skip(1) {
            if raw(other) != bytes {
                self.wrong(format_args!("gateway {at} tells another log: {}", differ(log, other)));
            }
        }
        for (at, notes) in self.tale.watched.iter().enumerate() {
            self.score.connects += notes.connects;
            let heard: Vec<_> = notes.heard.iter().map(|it| it.frame.clone()).collect();
            if raw(&heard) != bytes {
                self.wrong(format_args!("reader {at} heard another log: {}", differ(log, &heard)));
            }
        }
    }

    /// Each accepted question is one turn with one end and the right text, in
    /// the order of acceptance; nothing else is in the log.
    fn turns(&mut self) {
        let log = self.tale.histories.first().map(Vec::as_slice).unwrap_or_default();
        let (order, mut turns) = stories(log);
        let mut expected = Vec::new();
        for question in &self.tale.questions {
            self.score.asked += 1;
            match &question.asked {
                Asked::Accepted(turn) => {
                    self.score.accepted += 1;
                    expected.push(turn.clone());
                    match turns.remove(turn) {
                        Some(story) => self.turn(question, turn, &story),
                        None => self.wrong(format_args!("accepted turn {turn} is not in the log")),
                    }
                }
                Asked::Refused(status) => *self.score.refused.entry(*status).or_default() += 1,
                Asked::Unknown => self.score.unknown += 1,
            }
        }
        let accepted: BTreeSet<_> = expected.iter().collect();
        let told: Vec<_> = order.iter().filter(|it| accepted.contains(it)).cloned().collect();
        if told != expected {
            self.wrong("turns ran in another order than they were accepted in");
        }
        for (turn, story) in turns {
            self.stranger(&turn, &story);
        }
    }

    /// A turn that no question is known to have become.
    fn stranger(&mut self, turn: &str, story: &Story) {
        let unknown = self.tale.questions.iter().any(|it| {
            it.asked == Asked::Unknown && story.question.contains(&format!("\"{}\"", it.name))
        });
        if !unknown {
            self.wrong(format_args!("turn {turn} was accepted by nobody: {}", story.question));
        }
    }

    fn turn(&mut self, question: &Question, turn: &str, story: &Story) {
        let at = format!("turn {turn} ({})", question.name);
        if story.starts != 1 || story.ends.len() != 1 || story.after_the_end > 0 {
            self.wrong(format_args!(
                "{at} started {} times, ended as {:?}, and said {} things after its end",
                story.starts, story.ends, story.after_the_end
            ));
        }
        if !story.attempts_grow() {
            self.wrong(format_args!("{at}: a fenced attempt was heard: {:?}", story.attempts));
        }
        let end = story.ends.first().map(String::as_str).unwrap_or_default();
        match story.tokens(&question.name) {
            Ok(tokens) if end == "completed" && tokens != question.tokens => {
                self.wrong(format_args!(
                    "{at} completed with {tokens} of {} tokens",
                    question.tokens
                ));
            }
            Ok(_) => {}
            Err(why) => self.wrong(format_args!("{at}: {why}")),
        }
        match &question.stopped {
            Some((Stopped::Accepted, _)) if end != "cancelled" => {
                self.wrong(format_args!("{at}: a stop was accepted, but it ended as {end}"));
            }
            Some((Stopped::Ended(said), _)) if said != end => {
                self.wrong(format_args!("{at}: a stop was told it ended as {said}, not {end}"));
            }
            Some((Stopped::Refused(status), _)) => {
                self.wrong(format_args!("{at}: a stop of an accepted turn was answered {status}"));
            }
            None if end == "cancelled" => self.wrong(format_args!("{at} was cancelled by nobody")),
            Some(_) | None => {}
        }
        let code = story.code.as_deref().unwrap_or_default();
        if end == "failed" && !self.score.tolerated.contains(&code) {
            self.wrong(format_args!("{at} failed: {code}"));
        }
        self.count(story, end);
    }

    fn count(&mut self, story: &Story, end: &str) {
        let end = match &story.code {
            Some(code) => format!("{end} ({code})"),
            None => end.to_owned(),
        };
        *self.score.ends.entry(end).or_default() += 1;
        self.score.taken_over += usize::from(story.attempts.len() > 1);
        self.score.rewinds += story.rewinds;
    }

    /// First tokens and pauses, as the session's first reader saw them.
    fn times(&mut self) {
        let Some(notes) = self.tale.watched.first() else { return };
        let asked: BTreeMap<_, _> = self
            .tale
            .questions
            .iter()
            .filter_map(|it| match &it.asked {
                Asked::Accepted(turn) => Some((turn.as_str(), it.at)),
                Asked::Refused(_) | Asked::Unknown => None,
            })
            .collect();
        let mut last: Option<(String, tokio::time::Instant)> = None;
        for heard in &notes.heard {
            let said = heard.frame.json();
            let turn = said["turnId"].as_str().unwrap_or_default().to_owned();
            let follows = last.take().filter(|it| it.0 == turn);
            if let Some((_, before)) = follows {
                self.score.pauses.push(heard.at.saturating_duration_since(before));
            } else if let Some(asked) = asked.get(turn.as_str()) {
                self.score.first.push(heard.at.saturating_duration_since(*asked));
            }
            last = Some((turn, heard.at));
        }
    }
}

/// Where two readings part, in a few words.
fn differ(one: &[Frame], other: &[Frame]) -> String {
    let at = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    format!(
        "{} and {} frames, apart from {at}: {:?} and {:?}",
        one.len(),
        other.len(),
        one.get(at),
        other.get(at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watcher::{Heard, Notes};
    use tokio::time::Instant;

    fn frame(place: usize, event: &str, rest: &str) -> Frame {
        let raw = format!(
            "id: e-{place}\nevent: {event}\ndata: {{\"turnId\":\"t1\",\"attempt\":1,{rest}}}\n\n"
        );
        Frame::parse(raw.into()).unwrap()
    }

    fn log() -> Vec<Frame> {
        vec![
            frame(1, "started", r#""started":{"input":"{\"name\":\"q\"}"}"#),
            frame(2, "text", r#""index":1,"text":"q/1/0 ""#),
            frame(3, "text", r#""index":2,"text":"q/1/1 ""#),
            frame(4, "completed", r#""completed":{}"#),
        ]
    }

    fn tale(log: Vec<Frame>, heard: Vec<Frame>) -> Tale {
        let at = Instant::now();
        let heard = heard.into_iter().map(|frame| Heard { at, frame }).collect();
        Tale {
            user: "u".into(),
            session: "s".into(),
            questions: vec![Question {
                name: "q".into(),
                tokens: 2,
                at,
                asked: Asked::Accepted("t1".into()),
                stopped: None,
            }],
            histories: vec![log.clone(), log],
            watched: vec![Notes { heard, connects: 1 }],
            troubles: Vec::new(),
        }
    }

    fn violations(tale: Tale) -> usize {
        let mut score = Score::default();
        judge(&[tale], &[], &mut score);
        score.violations.len()
    }

    #[tokio::test]
    async fn a_good_run_has_no_violation() {
        assert_eq!(violations(tale(log(), log())), 0);
    }

    #[tokio::test]
    async fn a_reader_that_missed_or_doubled_a_frame_is_a_violation() {
        let mut missed = log();
        missed.remove(1);
        let mut doubled = log();
        doubled.insert(1, doubled[1].clone());
        for heard in [missed, doubled, Vec::new()] {
            assert_eq!(violations(tale(log(), heard)), 1);
        }
    }

    #[tokio::test]
    async fn what_the_log_must_not_hold_is_a_violation() {
        let mut two_ends = log();
        two_ends.push(frame(5, "failed", r#""failed":{"code":"x"}"#));
        let mut no_end = log();
        no_end.pop();
        let mut lost = log();
        lost.remove(1);
        let mut failed = log();
        failed.pop();
        failed.push(frame(4, "failed", r#""failed":{"code":"store_unavailable"}"#));
        for log in [two_ends, no_end, lost, failed, Vec::new()] {
            assert!(violations(tale(log.clone(), log)) > 0);
        }
    }

    #[tokio::test]
    async fn a_stop_that_was_accepted_must_have_stopped() {
        let mut tale = tale(log(), log());
        tale.questions[0].stopped = Some((Stopped::Accepted, std::time::Duration::ZERO));
        assert_eq!(violations(tale), 1);
    }
}
