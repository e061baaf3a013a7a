//! A turn under way: what it was asked, what was before it, and what it has done.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Failure, Model};
use proto::Timestamp;
use proto::ask_event::Kind;
use proto::{Citation, Message, Resume, TranscriptTurn, event};

use super::cite::Sources;
use super::{conversation, too_long};
use crate::buffer::{TooLong, Writer};
use crate::ledger::Book;
use crate::request::Question;
use crate::transcript::Past;

/// A turn under way.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(super) question: &'a Question,
    pub(super) past: Past,
    pub(super) book: Book,
    pub(super) writer: &'a Writer,
    /// Asked in this order.
    pub(super) models: Vec<Arc<dyn Model>>,
    began: Timestamp,
    /// Everything that the model is told beside the conversation.
    pub(super) system: String,
    /// Calls of earlier turns still wait for a human.
    pub(super) undecided: bool,
    /// A summary was tried in vain.
    pub(super) unsummarized: bool,
    /// What was said from the last question on, when this turn resumes it.
    open: Vec<Message>,
    /// The calls in that, which this turn may carry out.
    asked: HashSet<String>,
    sources: Mutex<Sources>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        question: &'a Question,
        mut past: Past,
        book: Book,
        writer: &'a Writer,
        models: Vec<Arc<dyn Model>>,
    ) -> Self {
        let open = question.resume.as_ref().map(|_| past.take_open()).unwrap_or_default();
        let calls = open.iter().flat_map(|it| &it.tool_calls);
        let asked = calls.map(|it| it.call_id.clone()).collect();
        let mut sources = Sources::new(past.sources.clone());
        for call in book.inherited().iter().flat_map(|it| &it.calls) {
            sources.add(&call.sources);
        }
        for kind in writer.said() {
            if let Kind::Citation(citation) = kind {
                sources.was_cited(citation.number);
            }
        }
        let sources = Mutex::new(sources);
        Self {
            question,
            past,
            book,
            writer,
            models,
            began: proto::timestamp(process::clock::now()),
            system: String::new(),
            undecided: false,
            unsummarized: false,
            open,
            asked,
            sources,
        }
    }

    /// Says something to the turn's readers.
    pub(super) fn say(&self, kind: Kind) -> Result<(), Failure> {
        self.writer.say(kind).map(drop).map_err(|TooLong| too_long())
    }

    /// The places that the turn's tools have found.
    pub(super) fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers what a tool has found.
    pub(super) fn found(&self, found: Vec<Citation>) -> Vec<Citation> {
        let mut sources = self.sources();
        let numbered = sources.number(found);
        sources.add(&numbered);
        numbered
    }

    /// What the turn itself has added to the conversation.
    pub(super) fn messages(&self, said: &[Kind]) -> Vec<Message> {
        conversation::messages(said, &self.asked)
    }

    /// What the user asked in this turn, with what came before it in a session
    /// that had nothing.
    pub(super) fn input(&self) -> Vec<Message> {
        self.earlier().iter().chain(&self.question.input).cloned().collect()
    }

    /// What came before the question in a session that had nothing: as the request
    /// says, or else the one whose place this turn takes had said.
    fn earlier(&self) -> &[Message] {
        match (self.past.known, &self.question.earlier[..]) {
            (true, _) => &[],
            (false, []) => &self.past.history,
            (false, earlier) => earlier,
        }
    }

    /// Everything from the question on that the turn answers.
    pub(super) fn since(&self) -> Vec<Message> {
        let said = self.messages(&self.writer.said());
        self.open.iter().cloned().chain(self.input()).chain(said).collect()
    }

    /// The tools of the calls that a request decides, as far as they are known.
    pub(super) fn open_calls(&self, resume: &Resume) -> Vec<String> {
        let decided = |id: &str| resume.decisions.iter().any(|it| it.call_id == id);
        let calls = self.open.iter().flat_map(|it| &it.tool_calls);
        calls.filter(|it| decided(&it.call_id)).map(|it| it.name.clone()).collect()
    }

    /// The ids of all calls that are known.
    pub(super) async fn call_ids(&self) -> HashSet<String> {
        let shown = self.past.messages.iter().chain(&self.open).chain(self.earlier());
        let shown = shown.flat_map(|it| &it.tool_calls).map(|it| it.call_id.clone());
        let made = self.book.calls().await.into_iter().map(|it| it.call_id);
        shown.chain(made).collect()
    }

    /// The last thing that the user said.
    pub(super) fn asks(&self) -> &str {
        let past = self.past.messages.iter().chain(&self.open);
        let past = past.rev().find(|it| it.role == "user");
        self.question.input.as_ref().or(past).map_or("", |it| it.content.as_str())
    }

    /// The arguments with which an earlier turn's model asked for a call.
    pub(super) fn first_arguments(&self, call_id: &str) -> Option<&str> {
        let mut calls = self.open.iter().flat_map(|it| &it.tool_calls);
        calls.find(|it| it.call_id == call_id).map(|it| it.arguments.as_str())
    }

    /// Instructions that came with the question, or with that of the turn that
    /// is resumed.
    pub(super) fn instructions(&self) -> &str {
        let resumed = self.past.interrupted.as_ref().filter(|_| self.question.resume.is_some());
        let own = self.question.system.as_deref();
        own.or(resumed.map(|it| it.system.as_str())).unwrap_or_default()
    }

    /// The turn as the session's transcript keeps it. One that said nothing and
    /// asked nothing new has no messages.
    pub(super) fn record(&self, end: &Kind) -> TranscriptTurn {
        let said = self.messages(&self.writer.said());
        let worth = !said.is_empty() || matches!(end, Kind::Completed(_) | Kind::Interrupted(_));
        let messages = self.input().into_iter().chain(said);
        let messages = if worth { messages.collect() } else { Vec::new() };
        let interrupted = self.undecided || matches!(end, Kind::Interrupted(_));
        let kept = |it: &str| if interrupted { it.to_owned() } else { String::new() };
        TranscriptTurn {
            turn_id: self.question.key.turn.to_string(),
            resumes: self
                .question
                .resume
                .as_ref()
                .map_or_else(String::new, |it| it.turn_id.clone()),
            messages,
            at: Some(self.began),
            interrupted,
            ledger: self.book.exists(),
            model: kept(self.models.first().map_or("", |it| it.name())),
            system: kept(self.instructions()),
            sources: self.sources().kept(),
            ending: event::Kind::from(end.clone()).ending().unwrap_or_default().into(),
        }
    }
}
