//! Watching a session: `GET /v1/sessions/{session}/events`.

use axum::extract::State;
use axum::response::Response;
use broker::{Follow, Followed, From, Stored};
use http::HeaderMap;
use proto::{Entry, Event, Session, Status, event};
use serde::Deserialize;

use crate::dialect::native::Native;
use crate::dialect::said::Said;
use crate::edge::{Edge, Shared};
use crate::extract::{InSession, Query};
use crate::mark::{Mark, position};
use crate::problem::Refusal;
use crate::stream;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: String,
    after: Option<String>,
}

/// `GET /v1/sessions/{session}/events`
pub(crate) async fn events(
    State(edge): Shared,
    InSession(id): InSession,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let user = params.user.parse().map_err(|why| Refusal::field("userId", why))?;
    let session = Session { user, id };
    let has = match (Mark::last_event_id(&headers)?, params.after.as_deref()) {
        (Some(mark), _) => Some(mark),
        (None, None | Some("start" | "now")) => None,
        (None, Some(text)) => Some(Mark::parse("after", text)?),
    };
    let from = match (has, params.after.as_deref()) {
        (Some(mark), _) => mark.from(),
        (None, Some("start")) => From::Start,
        (None, Some("now")) => From::Now,
        (None, Some(_) | None) => From::Turn,
    };
    let mut opened = stream::open(&edge, &session, from, has).await?;
    let native = Native::new(&session.id);
    let before = match from {
        From::Turn => edge.within(so_far(&edge, &mut opened.follow, &native)).await?,
        From::Start | From::Now | From::After(_) | From::At(_) => String::new(),
    };
    Ok(stream::of_session(&edge, opened, &before, native))
}

/// The running turn up to now, its text as one event. Only the last frame has
/// an id: a reader that was cut before it begins anew.
async fn so_far(edge: &Edge, follow: &mut Follow, native: &Native) -> Result<String, Refusal> {
    let Some(head) = follow.head().filter(|it| running(it)).cloned() else {
        return Ok(String::new());
    };
    let mut turn = Turn::default();
    let mut out = String::new();
    loop {
        match follow.next().await? {
            Followed::Entry(stored) => {
                let here = stored.sequence >= head.sequence;
                if stored.entry.attempt > 0 {
                    turn.entry(stored.entry);
                }
                if here {
                    let at = position(edge.broker.log.epoch(), stored.sequence);
                    turn.write(at, native, &mut out);
                    return Ok(out);
                }
            }
            Followed::Gap(gap) => native.gap_frame(&gap, &mut out),
        }
    }
}

fn running(head: &Stored) -> bool {
    let state = head.entry.state.as_ref();
    state.is_some_and(|it| it.status() == Status::Running)
}

/// What a running turn has said.
#[derive(Debug, Default)]
struct Turn {
    last: Entry,
    text: Said,
    reasoning: Said,
    others: Vec<Event>,
}

impl Turn {
    fn entry(&mut self, mut entry: Entry) {
        for event in std::mem::take(&mut entry.events) {
            self.event(event);
        }
        self.last = entry;
    }

    fn event(&mut self, event: Event) {
        let index = event.index;
        let Some(kind) = event.kind else { return };
        if let event::Kind::Text(text) = &kind {
            self.text.push(index, text);
        } else if let event::Kind::Reasoning(text) = &kind {
            self.reasoning.push(index, text);
        } else if let event::Kind::Rewind(rewind) = &kind {
            self.text.rewind(rewind.to);
            self.reasoning.rewind(rewind.to);
            self.others.retain(|it| it.index <= rewind.to);
        } else if !matches!(kind, event::Kind::Resumed(_)) {
            self.others.push(Event { index, kind: Some(kind) });
        }
    }

    fn write(mut self, at: broker::Position, native: &Native, out: &mut String) {
        let merged = |index: u32, kind: event::Kind| Event { index, kind: Some(kind) };
        if self.reasoning.index() > 0 {
            let index = self.reasoning.index();
            let text = self.reasoning.into_text();
            self.others.push(merged(index, event::Kind::Reasoning(text)));
        }
        if self.text.index() > 0 {
            let index = self.text.index();
            let text = self.text.into_text();
            self.others.push(merged(index, event::Kind::Text(text)));
        }
        let Some(last) = self.others.pop() else {
            return;
        };
        for event in &self.others {
            native.unnumbered(&self.last, event, out);
        }
        native.frame(format_args!("{at}"), &self.last, &last, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{Epoch, Sequence};
    use event::Kind as K;

    #[test]
    fn the_text_so_far_is_one_event_under_the_last_position() {
        let mut turn = Turn::default();
        for (attempt, index, kind) in [
            (1, 0, K::Started(proto::Started { input: "?".into(), resumes: String::new() })),
            (1, 1, K::Text("a".into())),
            (1, 2, K::Text("x".into())),
            (2, 0, K::Resumed(proto::Resumed {})),
            (2, 3, K::Rewind(proto::Rewind { to: 1 })),
            (2, 2, K::Text("b".into())),
        ] {
            turn.entry(Entry {
                turn_id: "t".into(),
                attempt,
                events: vec![Event { index, kind: Some(kind) }],
                ..Entry::default()
            });
        }
        let mut out = String::new();
        let at = position(Epoch(1), Sequence(9));
        turn.write(at, &Native::new(&"s".parse().unwrap()), &mut out);
        assert_eq!(
            out,
            "event: started\ndata: {\"sessionId\":\"s\",\"turnId\":\"t\",\"attempt\":2,\"started\":{\"input\":\"?\"}}\n\n\
             id: 1-9\nevent: text\ndata: {\"sessionId\":\"s\",\"turnId\":\"t\",\"attempt\":2,\"index\":2,\"text\":\"ab\"}\n\n"
        );
    }
}
