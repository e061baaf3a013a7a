//! What of a conversation a model is shown: the end of it that fits, cut where
//! a question begins. Pure; tokens are estimated, never counted exactly.

use proto::Message;

/// The most messages of a conversation that a model is shown.
const MAX_MESSAGES: usize = 400;

/// The most text of a conversation for a model without a window of its own, in
/// tokens.
const MAX_TOKENS: u64 = 64 * 1024;

/// How much of a window a conversation that had to be cut may fill, in percent:
/// the next turns fit without another cut.
const AFTER_CUT: u64 = 60;

/// How much of a window may be filled at all, in percent: the rest is for the
/// answer, and for what an estimate misses.
const FILLED: u64 = 80;

/// What is left of a tool's result that had to be shortened, in bytes.
const KEPT_RESULT: usize = 1024;

/// What each message costs beside its text, in tokens.
const MESSAGE: u64 = 8;

/// How a conversation is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// So many of the oldest messages are left out.
    pub(crate) omitted: usize,
    /// This turn alone fills the window, and by so many tokens more.
    pub(crate) over: u64,
}

/// An estimate of a text's tokens: four letters of a Latin word, or one
/// character of any other script.
pub(crate) fn tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().filter(|c| !c.is_ascii()).count();
    (ascii as u64).div_ceil(4) + others as u64
}

/// The same for a message with its calls.
pub(crate) fn size(message: &Message) -> u64 {
    let calls = message.tool_calls.iter().map(|it| tokens(&it.name) + tokens(&it.arguments));
    MESSAGE + tokens(&message.content) + calls.sum::<u64>()
}

/// How much of the `past` is shown in front of what this turn said so far, in a
/// window of so many tokens. `fixed` is what instructions and tools take.
pub(crate) fn fit(window: Option<u32>, fixed: u64, past: &[Message], turn: &[Message]) -> Shown {
    let window = window.map_or(MAX_TOKENS, u64::from);
    let now = fixed + turn.iter().map(size).sum::<u64>();
    let all = now + past.iter().map(size).sum::<u64>();
    if all <= window * FILLED / 100 && past.len() + turn.len() <= MAX_MESSAGES {
        return Shown { omitted: 0, over: 0 };
    }
    let room = (window * AFTER_CUT / 100).saturating_sub(now);
    let messages = (MAX_MESSAGES * 6 / 10).saturating_sub(turn.len());
    let mut used = 0;
    let kept = past.iter().rev().take(messages).take_while(|it| {
        used += size(it);
        used <= room
    });
    let from = past.len() - kept.count();
    // A conversation begins with a question.
    let question = past[from..].iter().position(|it| it.role == "user");
    let omitted = question.map_or(past.len(), |at| from + at);
    Shown { omitted, over: now.saturating_sub(window * FILLED / 100) }
}

/// Shortens tools' results, the oldest first, until so many tokens are saved.
pub(crate) fn shorten(messages: &mut [Message], mut over: u64) {
    for message in messages.iter_mut().filter(|it| it.role == "tool") {
        let before = size(message);
        let keep = message.content.floor_char_boundary(KEPT_RESULT);
        if over == 0 || keep == message.content.len() {
            continue;
        }
        message.content.truncate(keep);
        message.content.push_str("\n[shortened: the conversation grew too long]");
        over = over.saturating_sub(before.saturating_sub(size(message)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, size: usize) -> Message {
        Message { role: role.into(), content: "x".repeat(size), ..Message::default() }
    }

    fn turns(count: usize, size: usize) -> Vec<Message> {
        let turn = [message("user", size), message("assistant", size)];
        turn.iter().cycle().take(count * 2).cloned().collect()
    }

    #[test]
    fn what_fits_is_shown_whole() {
        let shown = fit(Some(8_000), 100, &turns(10, 400), &[message("user", 100)]);
        assert_eq!(shown, Shown { omitted: 0, over: 0 });
    }

    #[test]
    fn what_does_not_fit_is_cut_where_a_question_begins_and_leaves_room_for_turns_to_come() {
        let past = turns(100, 400);
        let turn = [message("user", 100)];
        let shown = fit(Some(8_000), 100, &past, &turn);
        assert!(shown.omitted.is_multiple_of(2) && shown.over == 0, "{shown:?}");
        let kept = &past[shown.omitted..];
        let filled = kept.iter().map(size).sum::<u64>();
        assert!((3_500..=4_800).contains(&filled), "{filled}");
        let mut later = kept.to_vec();
        later.extend(turns(5, 400));
        assert_eq!(fit(Some(8_000), 100, &later, &turn).omitted, 0, "five more turns fit");
    }

    #[test]
    fn a_turn_that_fills_the_window_alone_says_so() {
        let shown = fit(Some(1_000), 100, &turns(3, 40), &[message("user", 10_000)]);
        assert_eq!(shown.omitted, 6);
        assert!((1_800..2_000).contains(&shown.over), "{shown:?}");
    }

    #[test]
    fn the_oldest_results_of_a_turn_that_is_too_long_are_shortened_first() {
        let mut turn = vec![
            message("user", 9_000),
            message("tool", 9_000),
            message("tool", 500),
            message("tool", 9_000),
        ];
        shorten(&mut turn, 1_000);
        let sizes: Vec<usize> = turn.iter().map(|it| it.content.len() / 100).collect();
        assert_eq!(sizes, [90, 10, 5, 90]);
    }

    #[test]
    fn without_a_window_there_is_a_bound_all_the_same() {
        assert_eq!(fit(None, 0, &turns(100, 100), &[]).omitted, 0);
        assert!(fit(None, 0, &turns(100, 10_000), &[]).omitted > 0);
        assert!(fit(None, 0, &turns(300, 4), &[]).omitted >= 360);
    }

    #[test]
    fn a_chinese_character_counts_as_a_token_and_four_letters_as_one() {
        assert_eq!(tokens("消息确认"), 4);
        assert_eq!(tokens("acknowledgement"), 4);
        assert_eq!(tokens(""), 0);
    }
}
