//! Tool calls as servers stream them, and their results told back.

use std::sync::Arc;

use model::{Prompt, Said, Tool};
use proto::{Message, ToolCall};
use serde_json::json;
use testkit::model::{FakeModel, Script, ToolCall as Scripted, ToolStyle};

use crate::asking::{answer, message, question, scripted};

fn asked(id: &str, name: &str, arguments: &str) -> Scripted {
    Scripted { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

fn said(call: &Scripted) -> ToolCall {
    let Scripted { id, name, arguments } = call.clone();
    ToolCall { call_id: id, name, arguments }
}

fn two() -> Vec<Scripted> {
    vec![
        asked("call-1", "weather", r#"{"city": "杭州", "days": 3}"#),
        asked("call-2", "time", r#"{"zone": "Asia/Shanghai"}"#),
    ]
}

fn tools() -> Arc<[Tool]> {
    let tool = |name: &str| Tool {
        name: name.to_owned(),
        description: format!("The {name}."),
        parameters: json!({ "type": "object" }),
    };
    [tool("weather"), tool("time")].into()
}

#[tokio::test]
async fn calls_are_said_whole_in_order_and_before_the_end_however_they_come() {
    let fake = FakeModel::start().await.unwrap();
    let model = scripted(&fake.base_url());
    for style in [
        ToolStyle::Pieces,
        ToolStyle::Interleaved,
        ToolStyle::Blank,
        ToolStyle::Repeated,
        ToolStyle::Whole,
        ToolStyle::Unnumbered,
        ToolStyle::NoIds,
    ] {
        for finish in [None, Some("stop".to_owned())] {
            let script = Script {
                text: Some("好".to_owned()),
                tool_calls: two(),
                tool_style: style,
                finish,
                ..Script::default()
            };
            let prompt = Prompt { tools: tools(), ..question(&script.question()) };
            let said_all = answer(&model, prompt).await;
            let all: Vec<_> = said_all.into_iter().map(Result::unwrap).collect();
            let mut want: Vec<_> = two().iter().map(said).collect();
            if style == ToolStyle::NoIds {
                for it in &mut want {
                    it.call_id.clear();
                }
            }
            let calls = want.into_iter().map(Said::ToolCall);
            let mut want: Vec<_> =
                std::iter::once(Said::Text("好".to_owned())).chain(calls).collect();
            want.push(Said::Finished("tool_calls"));
            assert!(all.contains(&Said::Composing), "a call in the making is no silence");
            let silent = |it: &Said| matches!(it, Said::Usage(_) | Said::Composing);
            let all: Vec<_> = all.into_iter().filter(|it| !silent(it)).collect();
            assert_eq!(all, want, "{style:?}");
        }
    }
    assert_eq!(fake.calls()[0].body["tools"][1]["function"]["name"], "time");
}

#[tokio::test]
async fn calls_that_may_be_torn_are_not_said() {
    let fake = FakeModel::start().await.unwrap();
    for reason in ["length", "content_filter"] {
        let script =
            Script { tool_calls: two(), finish: Some(reason.to_owned()), ..Script::default() };
        let said = answer(&scripted(&fake.base_url()), question(&script.question())).await;
        let calls = said.iter().filter(|it| matches!(it, Ok(Said::ToolCall(_)))).count();
        assert_eq!(calls, 0, "{reason}");
        let Some(Ok(Said::Finished(told))) = said.last() else { panic!("{said:?}") };
        assert_eq!(*told, reason);
    }
    let script = Script { tool_calls: two(), cut_after: Some(5), ..Script::default() };
    let said = answer(&scripted(&fake.base_url()), question(&script.question())).await;
    let (Err(failure), composing) = said.split_last().unwrap() else { panic!("{said:?}") };
    assert_eq!(failure.code, "model_cut");
    assert!(composing.iter().all(|it| *it == Ok(Said::Composing)), "{said:?}");
}

#[tokio::test]
async fn calls_and_results_go_back_in_the_shape_that_the_endpoint_pairs() {
    let fake = FakeModel::start().await.unwrap();
    let script = Script { text: Some("晴".to_owned()), tool_calls: two(), ..Script::default() };
    let calls: Vec<_> = two().iter().map(said).collect();
    let result = |id: &str| Message { tool_call_id: id.to_owned(), ..message("tool", "晴 21°") };
    let prompt = Prompt {
        system: "Be brief.".to_owned(),
        messages: vec![
            message("user", &script.question()),
            Message { tool_calls: calls, ..message("assistant", "") },
            result("call-1"),
            result("call-2"),
        ],
        tools: tools(),
    };
    let said = answer(&scripted(&fake.base_url()), prompt).await;
    assert_eq!(said[0], Ok(Said::Text("晴".to_owned())), "{said:?}");
    let body = &fake.calls()[0].body;
    assert_eq!(body["messages"][0]["role"], "system");
    assert_eq!(body["messages"][2]["tool_calls"][0]["function"]["name"], "weather");
    let last = json!({ "role": "tool", "tool_call_id": "call-2", "content": "晴 21°" });
    assert_eq!(body["messages"][4], last);
}
