//! What leaves a transcript when a turn takes an earlier one's place. Pure.
//!
//! Takes nothing away that the turn had not seen when it began, but the very turn
//! that it replaces: a run that wakes late must not remove what came after it.

use proto::Transcript;

/// How many turns that are gone a transcript remembers. The oldest are forgotten;
/// of those, a run that is begun anew is not known to be over.
const MAX_REPLACED: usize = 256;

/// What goes, as it was when the turn began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// The turn whose place is taken.
    replaces: String,
    /// The turns before that.
    kept: Vec<String>,
    /// Those behind, and itself.
    gone: Vec<String>,
}

impl Cut {
    pub(super) fn new(transcript: &Transcript, replaces: String, place: usize) -> Self {
        let ids = transcript.turns.iter().map(|it| it.turn_id.clone());
        let mut kept: Vec<_> = ids.collect();
        let gone = kept.split_off(place.min(kept.len()));
        Self { replaces, kept, gone }
    }

    /// Takes away what goes, and the summary where that stands for any of it, or
    /// for who knows what. What only the summary still told of older turns is
    /// forgotten with it.
    pub(super) fn take(&self, transcript: &mut Transcript) {
        let goes = |turn: &str| turn == self.replaces || self.gone.iter().any(|it| it == turn);
        let before = transcript.turns.len();
        transcript.turns.retain(|it| !goes(&it.turn_id));
        let unclear = transcript.summarized.is_empty() && transcript.turns.len() < before;
        if unclear || goes(&transcript.summarized) {
            transcript.summary.clear();
            transcript.summarized.clear();
            transcript.summarized_messages = 0;
        }
    }
}

/// Whether another turn has taken the place of any of these; where what is
/// remembered of that has been cut, nobody knows that it has not.
pub(super) fn may_be_gone<'a>(
    transcript: &Transcript,
    mut turns: impl Iterator<Item = &'a String>,
) -> bool {
    transcript.replaced.len() >= MAX_REPLACED || turns.any(|it| transcript.replaced.contains(it))
}

/// The transcript without what goes for a turn. `None` when another turn was
/// stored since that one began.
pub(super) fn made(
    mut transcript: Transcript,
    cut: Option<&Cut>,
    turn: &str,
) -> Option<Transcript> {
    let Some(cut) = cut else { return Some(transcript) };
    let seen = |it: &str| cut.kept.iter().chain(&cut.gone).any(|seen| seen == it);
    let own = |it: &str| it == turn || it == cut.replaces;
    if transcript.turns.iter().any(|it| !seen(&it.turn_id) && !own(&it.turn_id)) {
        return None;
    }
    cut.take(&mut transcript);
    let replaced = &mut transcript.replaced;
    for gone in cut.gone.iter().chain([&cut.replaces]) {
        replaced.retain(|it| it != gone);
        replaced.push(gone.clone());
    }
    let old = replaced.len().saturating_sub(MAX_REPLACED);
    replaced.drain(..old);
    transcript.replacements += 1;
    Some(transcript)
}
