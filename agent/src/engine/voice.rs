//! What a model says, on its way to the turn's readers: citations are told
//! where the text names a place, and usage says what the model was not shown.

use model::{Failure, Said};
use proto::ask_event::Kind;
use proto::{Citation, Usage};

use super::ask::Hear;
use super::turn::Turn;

/// How the conversation was shortened for the model that speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shortened {
    /// Messages that it is not shown.
    pub(super) omitted: u32,
    /// How many of those a summary stands for.
    pub(super) summarized: u32,
}

/// Says a model's words in a turn.
#[derive(Debug)]
pub(super) struct Voice<'a> {
    turn: &'a Turn<'a>,
    shortened: Shortened,
    counted: bool,
}

impl<'a> Voice<'a> {
    pub(super) fn new(turn: &'a Turn<'a>, shortened: Shortened) -> Self {
        Self { turn, shortened, counted: false }
    }

    /// Tells what the model was not shown, when it did not count its tokens.
    pub(super) fn close(&mut self, model: &str) -> Result<(), Failure> {
        if self.counted || self.shortened == Shortened::default() {
            return Ok(());
        }
        self.usage(Usage { model: model.to_owned(), ..Usage::default() })
    }

    fn usage(&mut self, usage: Usage) -> Result<(), Failure> {
        self.counted = true;
        let Shortened { omitted, summarized } = self.shortened;
        let usage = Usage { omitted_messages: omitted, summarized_messages: summarized, ..usage };
        self.turn.say(Kind::Usage(usage))
    }

    fn text(&self, text: String) -> Result<(), Failure> {
        let cited = self.turn.sources().cited(&text);
        self.turn.say(Kind::Text(text))?;
        for citation in cited {
            self.turn.say(Kind::Citation(citation))?;
        }
        Ok(())
    }

    /// Marks where the words before it come from, as other models do themselves.
    fn place(&self, citation: Citation) -> Result<(), Failure> {
        let numbered = self.turn.found(vec![citation]);
        numbered.iter().try_for_each(|it| self.text(format!("[{}]", it.number)))
    }
}

impl Hear for Voice<'_> {
    fn hear(&mut self, said: Said) -> Result<(), Failure> {
        match said {
            Said::Text(text) => self.text(text),
            Said::Reasoning(text) => self.turn.say(Kind::Reasoning(text)),
            Said::Citation(citation) => self.place(citation),
            Said::Usage(usage) => self.usage(usage),
            Said::Composing | Said::ToolCall(_) | Said::Finished(_) => Ok(()),
        }
    }
}
