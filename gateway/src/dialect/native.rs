//! Weir's own frames, as server-sent events or as messages of a WebSocket. Their
//! bytes depend on the stored entry alone, so that every reader of a session, on
//! any gateway, sees the same.

use std::fmt::Write as _;

use broker::{Position, Stored};
use proto::{Entry, Event, SessionId, event};

use super::{Dialect, json};

/// The encoder of one session.
#[derive(Debug)]
pub(crate) struct Native {
    /// `{"sessionId":"…"`
    prefix: String,
    shape: Shape,
}

/// What a frame looks like around its data.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A server-sent event.
    Event,
    /// A JSON object on a line.
    Line,
}

impl Native {
    /// Frames as server-sent events.
    pub(crate) fn new(session: &SessionId) -> Self {
        Self::shaped(session, Shape::Event)
    }

    /// Frames as JSON objects, each on a line of its own.
    pub(crate) fn lines(session: &SessionId) -> Self {
        Self::shaped(session, Shape::Line)
    }

    fn shaped(session: &SessionId, shape: Shape) -> Self {
        let mut prefix = String::from(r#"{"sessionId":"#);
        json(&session.as_str(), &mut prefix);
        Self { prefix, shape }
    }

    /// What comes before a frame's data, and its first field. A position has
    /// nothing that JSON would escape.
    fn begin(&self, id: Option<std::fmt::Arguments<'_>>, name: &str, out: &mut String) {
        let _infallible = match (self.shape, id) {
            (Shape::Event, Some(id)) => write!(out, "id: {id}\nevent: {name}\ndata: "),
            (Shape::Event, None) => write!(out, "event: {name}\ndata: "),
            (Shape::Line, Some(id)) => {
                write!(out, r#"{{"id":"{id}","event":"{name}","data":"#)
            }
            (Shape::Line, None) => write!(out, r#"{{"event":"{name}","data":"#),
        };
        out.push_str(&self.prefix);
    }

    /// What comes after a frame's data.
    fn end(&self, out: &mut String) {
        out.push_str(match self.shape {
            Shape::Event => "\n\n",
            Shape::Line => "}\n",
        });
    }

    /// One frame; `id` is what resumes after it.
    fn frame(
        &self,
        id: Option<std::fmt::Arguments<'_>>,
        entry: &Entry,
        event: &Event,
        out: &mut String,
    ) {
        let Some(kind) = &event.kind else { return };
        self.begin(id, kind.name(), out);
        // A tombstone belongs to no turn.
        if !entry.turn_id.is_empty() {
            let (turn, attempt) = (&entry.turn_id, entry.attempt);
            let _infallible = write!(out, ",\"turnId\":\"{turn}\",\"attempt\":{attempt}");
        }
        body(event, kind, out);
        self.end(out);
    }
}

impl Dialect for Native {
    fn open(&mut self, out: &mut String) {
        match self.shape {
            Shape::Event => out.push_str("retry: 1000\n\n"),
            Shape::Line => {}
        }
    }

    fn entry(&mut self, at: Position, stored: &Stored, skip: usize, out: &mut String) {
        let entry = &stored.entry;
        let frames = entry.events.iter().filter(|it| shown(it)).count();
        let shown = entry.events.iter().filter(|it| shown(it));
        for (index, event) in shown.enumerate().skip(skip) {
            if frames == 1 {
                self.frame(Some(format_args!("{at}")), entry, event, out);
            } else {
                self.frame(Some(format_args!("{at}.{}", index + 1)), entry, event, out);
            }
        }
    }

    /// Something is missing: belongs to no entry, so it has no id and no turn.
    fn gap(&mut self, gap: &event::Kind, out: &mut String) {
        self.begin(None, "gap", out);
        body(&Event::from(gap.clone()), gap, out);
        self.end(out);
    }

    /// Belongs to no entry, like a gap.
    fn expired(&mut self, out: &mut String) {
        self.begin(None, "auth_expired", out);
        out.push('}');
        self.end(out);
    }

    /// Only the last frame has an id: a reader that is cut before it begins anew.
    fn so_far(&mut self, at: Position, stored: &Stored, out: &mut String) {
        let entry = &stored.entry;
        let mut shown = entry.events.iter().filter(|it| shown(it)).peekable();
        while let Some(event) = shown.next() {
            if shown.peek().is_some() {
                self.frame(None, entry, event, out);
            } else {
                self.frame(Some(format_args!("{at}")), entry, event, out);
            }
        }
    }
}

/// Whether a client hears of an event.
fn shown(event: &Event) -> bool {
    use event::Kind as K;
    match &event.kind {
        None | Some(K::Resumed(_) | K::HandedOver(_) | K::CancelRequested(_)) => false,
        Some(
            K::Text(_)
            | K::Reasoning(_)
            | K::ToolCall(_)
            | K::ToolResult(_)
            | K::Citation(_)
            | K::Usage(_)
            | K::Rewind(_)
            | K::Completed(_)
            | K::Interrupted(_)
            | K::Failed(_)
            | K::Cancelled(_)
            | K::Started(_)
            | K::Deleted(_)
            | K::Gap(_),
        ) => true,
    }
}

/// The event's own fields as canonical JSON, and the end of the data. Text is
/// written by hand: it is nearly all there is.
fn body(event: &Event, kind: &event::Kind, out: &mut String) {
    if let (event::Kind::Text(text), true) = (kind, event.index != 0) {
        let _infallible = write!(out, ",\"index\":{},\"text\":", event.index);
        json(text, out);
        out.push('}');
        return;
    }
    let at = out.len();
    json(event, out);
    // The event's `{` becomes a comma: its fields join the frame's.
    out.replace_range(at..=at, ",");
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{Epoch, Sequence};
    use event::Kind as K;

    const TURN: &str = "00000000-0000-7000-8000-000000000001";

    fn said(events: Vec<(u32, K)>) -> Stored {
        let events = events.into_iter().map(|(index, kind)| Event { index, kind: Some(kind) });
        Stored {
            sequence: Sequence(18),
            entry: Entry {
                turn_id: TURN.to_owned(),
                attempt: 1,
                events: events.collect(),
                ..Entry::default()
            },
        }
    }

    fn check(events: Vec<(u32, K)>, skip: usize, expected: &str) {
        let at = Position { epoch: Epoch(72_731), sequence: Sequence(18) };
        let mut out = String::new();
        Native::new(&"s1".parse().unwrap()).entry(at, &said(events), skip, &mut out);
        assert_eq!(out, expected.replace("TURN", TURN));
    }

    #[test]
    fn an_entry_of_one_event_is_one_frame_under_its_position() {
        check(
            vec![(7, K::Text("Hello".into()))],
            0,
            "id: 1k4b-18\nevent: text\ndata: {\"sessionId\":\"s1\",\"turnId\":\"TURN\",\"attempt\":1,\"index\":7,\"text\":\"Hello\"}\n\n",
        );
        check(
            vec![(0, K::Started(proto::Started { input: "Why?".into(), ..Default::default() }))],
            0,
            "id: 1k4b-18\nevent: started\ndata: {\"sessionId\":\"s1\",\"turnId\":\"TURN\",\"attempt\":1,\"started\":{\"input\":\"Why?\"}}\n\n",
        );
        check(
            vec![(0, K::Cancelled(proto::Cancelled {}))],
            0,
            "id: 1k4b-18\nevent: cancelled\ndata: {\"sessionId\":\"s1\",\"turnId\":\"TURN\",\"attempt\":1,\"cancelled\":{}}\n\n",
        );
    }

    #[test]
    fn an_entry_of_several_events_numbers_its_frames_and_resumes_between_them() {
        let events = || {
            vec![
                (0, K::Resumed(proto::Resumed {})),
                (8, K::Text("a".into())),
                (9, K::Rewind(proto::Rewind { to: 3 })),
            ]
        };
        let first = "id: 1k4b-18.1\nevent: text\ndata: {\"sessionId\":\"s1\",\"turnId\":\"TURN\",\"attempt\":1,\"index\":8,\"text\":\"a\"}\n\n";
        let second = "id: 1k4b-18.2\nevent: rewind\ndata: {\"sessionId\":\"s1\",\"turnId\":\"TURN\",\"attempt\":1,\"index\":9,\"rewind\":{\"to\":3}}\n\n";
        check(events(), 0, &format!("{first}{second}"));
        check(events(), 1, second);
        check(events(), 2, "");
    }

    #[test]
    fn no_text_can_end_a_line_or_a_frame() {
        check(
            vec![(1, K::Text("a\r\nb\rc\n\nevent: done\ndata: \u{2028}\"\\".into()))],
            0,
            "id: 1k4b-18\nevent: text\ndata: {\"sessionId\":\"s1\",\"turnId\":\"TURN\",\"attempt\":1,\"index\":1,\"text\":\"a\\r\\nb\\rc\\n\\nevent: done\\ndata: \u{2028}\\\"\\\\\"}\n\n",
        );
    }

    #[test]
    fn what_only_the_parts_say_to_each_other_makes_no_frame() {
        for kind in [
            K::Resumed(proto::Resumed {}),
            K::CancelRequested(proto::CancelRequested {}),
            K::HandedOver(proto::HandedOver {}),
        ] {
            check(vec![(0, kind)], 0, "");
        }
    }

    #[test]
    fn a_tombstone_is_told_under_its_position_and_belongs_to_no_turn() {
        let mut tombstone = said(vec![(0, K::Deleted(proto::Deleted {}))]);
        (tombstone.entry.turn_id, tombstone.entry.attempt) = (String::new(), 0);
        let at = Position { epoch: Epoch(72_731), sequence: Sequence(18) };
        let mut out = String::new();
        Native::new(&"s1".parse().unwrap()).entry(at, &tombstone, 0, &mut out);
        assert_eq!(
            out,
            "id: 1k4b-18\nevent: deleted\ndata: {\"sessionId\":\"s1\",\"deleted\":{}}\n\n"
        );
    }

    #[test]
    fn what_was_said_so_far_resumes_only_behind_its_last_frame() {
        let events = vec![
            (0, K::Started(proto::Started { input: "?".into(), ..Default::default() })),
            (2, K::Text("ab".into())),
            (0, K::HandedOver(proto::HandedOver {})),
        ];
        let at = Position { epoch: Epoch(1), sequence: Sequence(18) };
        let mut out = String::new();
        Native::new(&"s".parse().unwrap()).so_far(at, &said(events), &mut out);
        let head = format!("{{\"sessionId\":\"s\",\"turnId\":\"{TURN}\",\"attempt\":1");
        assert_eq!(
            out,
            format!(
                "event: started\ndata: {head},\"started\":{{\"input\":\"?\"}}}}\n\n\
                 id: 1-18\nevent: text\ndata: {head},\"index\":2,\"text\":\"ab\"}}\n\n"
            )
        );
    }

    #[test]
    fn a_line_is_an_object_with_the_data_of_the_event() {
        let session: SessionId = "s\"".parse().unwrap();
        let events = || {
            let started = proto::Started { input: "?\n".into(), ..Default::default() };
            vec![(0, K::Started(started)), (2, K::Text("a\n\u{2028}b".into()))]
        };
        let at = Position { epoch: Epoch(72_731), sequence: Sequence(18) };
        let gap = K::Gap(proto::Gap { reason: "expired".into(), ..proto::Gap::default() });
        let say = |mut native: Native| {
            let mut out = String::new();
            native.entry(at, &said(events()), 0, &mut out);
            native.so_far(at, &said(events()), &mut out);
            native.gap(&gap, &mut out);
            native.expired(&mut out);
            out
        };
        let (events, lines) = (say(Native::new(&session)), say(Native::lines(&session)));
        let frames: Vec<_> = events.split_terminator("\n\n").collect();
        assert_eq!((frames.len(), lines.lines().count()), (6, 6));
        for (frame, line) in frames.into_iter().zip(lines.lines()) {
            let field = |name: &str| frame.lines().find_map(|it| it.strip_prefix(name));
            let id = field("id: ").map(|it| format!(r#""id":"{it}","#)).unwrap_or_default();
            let (event, data) = (field("event: ").unwrap(), field("data: ").unwrap());
            assert_eq!(line, format!(r#"{{{id}"event":"{event}","data":{data}}}"#));
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_gap_has_no_id_and_belongs_to_no_turn() {
        let gap = K::Gap(proto::Gap {
            reason: "other_log".into(),
            asked: "0-1".into(),
            next: "1k4b-3".into(),
        });
        let mut out = String::new();
        Native::new(&"用\"户".parse().unwrap()).gap(&gap, &mut out);
        assert_eq!(
            out,
            "event: gap\ndata: {\"sessionId\":\"用\\\"户\",\"gap\":{\"reason\":\"other_log\",\"asked\":\"0-1\",\"next\":\"1k4b-3\"}}\n\n"
        );
    }

    #[test]
    fn text_by_hand_is_the_same_as_canonical_json() {
        for text in ["", "é\u{0}\u{7f}\t", "\u{1f600}</script>"] {
            let event = Event { index: 5, kind: Some(K::Text(text.into())) };
            let mut by_hand = String::new();
            body(&event, event.kind.as_ref().unwrap(), &mut by_hand);
            let canonical = serde_json::to_string(&event).unwrap();
            assert_eq!(by_hand, format!(",{}", &canonical[1..]));
        }
    }
}
