//! What is asked on the pictures, and what the model says to it: the words are
//! written here, and everything else on them happens.

use serde_json::{Value, json};
use testkit::model::{FakeModel, Script, ToolCall};

pub(super) const WORKERS: &str = "How do I add more workers?";
pub(super) const CUT: &str = "What happens when my connection is cut in the middle of an answer?";
pub(super) const CHANNEL: &str = "Which release channel are we on? Please move us to stable.";
pub(super) const CHINESE: &str = "什么是 Weir？";

/// Words after which the answer about the connection waits, and the last ones.
const HELD: usize = 88;
pub(super) const HELD_AT: &str = "what it says";
/// Milliseconds from one word to the next.
const PACE: u64 = 4;

const WORKERS_ANSWER: &str = "\
Start another process with the role `worker`: it takes work from the same queue, and nothing else \
has to be told [1].

```sh
weir worker --nats nats://127.0.0.1:4222 --agent http://127.0.0.1:50051
```

How many turns run at once is the sum of their slots:

| workers | slots each | turns at once |
| ---: | ---: | ---: |
| 1 | 64 | 64 |
| 2 | 64 | 128 |

A worker that is stopped hands its turns on; **no answer is lost** and none is told twice [2].
";

const CUT_ANSWER: &str = "\
Nothing is lost. Every piece of an answer is stored before anybody sees it, so the page only has to \
say how far it has read:

1. the stream breaks, and the page says so above the conversation;
2. it tries again, a little later each time, and at once when the network is back;
3. it names the last event that it has seen and gets **exactly the rest**.

The model goes on in the meantime: it is not asked again, and what it says waits in the log for as \
long as the conversation is kept. You may even close the page, and read the rest on your phone.
";

const CHINESE_ANSWER: &str = "\
**Weir** 是一个面向大模型智能体的持久化流式后端：回答的每一段都先写进日志，再发给读者。

- 断线、刷新或换一台设备，都能从断开的地方**继续读**，不多也不少。
- 工作进程被杀掉时，别的进程会接着完成这个回答。
- 同一个问题带着同一个键重发，只会被回答一次。

```sh
weir up --knowledge ./资料
weir ask \"多久要还书？\"
```
";

/// Teaches the model everything.
pub(super) fn teach(model: &FakeModel) {
    let found = |query: &str| call("search_knowledge", &json!({ "query": query, "limit": 4 }));
    model.teach(
        WORKERS,
        Script {
            reasoning: Some(
                "This is about running several workers; the documentation says how.".to_owned(),
            ),
            tool_calls: vec![found("add more workers")],
            then: vec![says(WORKERS_ANSWER)],
            ..Script::default()
        },
    );
    model.teach(CUT, Script { hold_after: Some(HELD), ..says(CUT_ANSWER) });
    model.teach(CHINESE, says(CHINESE_ANSWER));
    let (read, set) = (json!({ "key": "channel" }), json!({ "key": "channel", "value": "stable" }));
    model.teach(
        CHANNEL,
        Script {
            tool_calls: vec![call("release__read", &read)],
            then: vec![
                Script {
                    tool_calls: vec![call("release__set", &set)],
                    ..says("I have looked it up. Moving to `stable` changes what everybody gets, so I ask first.")
                },
                says("Done: the channel is `stable` now."),
            ],
            ..Script::default()
        },
    );
}

fn says(text: &str) -> Script {
    Script { text: Some(text.to_owned()), every_ms: PACE, ..Script::default() }
}

fn call(name: &str, arguments: &Value) -> ToolCall {
    let id = format!("call-{name}");
    ToolCall { id, name: name.to_owned(), arguments: arguments.to_string() }
}
