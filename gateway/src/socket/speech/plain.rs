//! Text in, text out, as the systems had it that Weir replaces.

use broker::From;
use bytes::Bytes;

use super::{Misheard, Speech};
use crate::caller::Owned;
use crate::dialect::plain::{Plain, error};
use crate::problem::Refusal;
use crate::question::Question;
use crate::socket::command::{Answer, Command, Wants};
use crate::stream::Told;

impl Speech for Plain {
    fn open(&self) -> Option<Bytes> {
        None
    }

    /// What was said before is nobody's who asks here.
    fn begins(&self) -> From {
        From::Now
    }

    fn hear(&self, session: &Owned, text: &str) -> Result<Command, Misheard> {
        match Question::compatible(session.clone(), text.to_owned(), Vec::new()) {
            Ok(question) => Ok(Command { reference: None, wants: Wants::Turn(Box::new(question)) }),
            Err(refusal) => Err(Misheard { reference: None, refusal }),
        }
    }

    fn answer(&mut self, _: Option<&str>, answer: &Answer) -> Option<Bytes> {
        if let Answer::Accepted(receipt) = answer {
            self.asked(receipt.turn_id.clone());
        }
        None
    }

    fn refuse(&self, _: Option<&str>, refusal: &Refusal) -> Bytes {
        error(refusal.detail()).into()
    }

    fn tell(&mut self, told: &Told) -> Vec<Bytes> {
        let mut out = Vec::new();
        match told {
            Told::Entry { stored, .. } | Told::SoFar { stored, .. } => self.entry(stored, &mut out),
            Told::Gap(_) => self.gap(),
        }
        out.into_iter().map(Bytes::from).collect()
    }

    fn unended(&self) -> &[String] {
        Self::unended(self)
    }

    fn erased(&mut self, gone: &[String]) -> Vec<Bytes> {
        let mut out = Vec::new();
        self.erased(gone, &mut out);
        out.into_iter().map(Bytes::from).collect()
    }

    fn expired(&self) -> Bytes {
        error("the credential has ended").into()
    }
}
