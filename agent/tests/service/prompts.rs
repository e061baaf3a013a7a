//! What the model is shown: instructions, memories, passages, and of a long
//! conversation what fits.

use proto::ask_event::Kind;
use proto::{AskRequest, Citation, Usage};
use serde_json::json;
use testkit::model::Script;

use crate::tools::{calls, heard};
use crate::world::{Answer, World, message, question, records, script};

fn usage(answer: &Answer) -> Usage {
    let mut used = None;
    for kind in answer.kinds() {
        if let Kind::Usage(usage) = kind {
            used = Some(usage.clone());
        }
    }
    used.expect("usage is told")
}

fn citations(answer: &Answer) -> Vec<Citation> {
    let mut cited = Vec::new();
    for kind in answer.kinds() {
        if let Kind::Citation(citation) = kind {
            cited.push(citation.clone());
        }
    }
    cited
}

/// What the model was shown in its n-th call: all instructions as one text, and
/// the other messages.
fn shown(world: &World, nth: usize) -> (String, Vec<serde_json::Value>) {
    let body = world.model.calls()[nth].body.clone();
    let mut messages = body["messages"].as_array().unwrap().clone();
    let system = messages.remove(0)["content"].as_str().unwrap().to_owned();
    (system, messages)
}

/// A provider whose models have a window of so many tokens.
async fn windowed(tokens: u32) -> World {
    let change = |config: &mut agent::Config| {
        for provider in config.providers.values_mut() {
            provider.window = tokens;
        }
    };
    World::with(change, records().await).await
}

#[tokio::test]
async fn the_oldest_turns_of_a_long_conversation_are_summarized_once_and_told_in_the_usage() {
    let world = windowed(6_000).await;
    let long = |nth: usize| format!("question {nth} {}", "word ".repeat(300));
    let mut first_cut = None;
    for nth in 0..24 {
        let answer = world.answer(question(&long(nth))).await;
        assert!(answer.completed(), "{:?}", answer.end());
        let usage = usage(&answer);
        assert_eq!(usage.omitted_messages, usage.summarized_messages, "turn {nth}");
        if usage.omitted_messages > 0 && first_cut.is_none() {
            first_cut = Some(nth);
        }
    }
    let first_cut = first_cut.expect("24 long turns do not fit");
    let calls = world.model.calls();
    let summaries: Vec<usize> =
        (0..calls.len()).filter(|nth| shown(&world, *nth).0.starts_with("Summarize")).collect();
    assert_eq!(summaries[0], first_cut, "the first is written when it is first needed");
    assert!(summaries.len() < (24 - first_cut) / 2, "and not in every turn: {summaries:?}");
    let (system, messages) = shown(&world, calls.len() - 1);
    assert!(system.contains("The conversation so far, in short:"), "{system}");
    assert_eq!(messages[0]["role"], "user");
    let bytes: usize = messages.iter().map(|it| it["content"].as_str().unwrap().len()).sum();
    assert!(bytes / 4 < 6_000, "{bytes} bytes in a window of 6,000 tokens");
}

#[tokio::test]
async fn a_history_that_came_with_the_question_is_fitted_as_well() {
    let world = windowed(2_000).await;
    let history = (0..100).flat_map(|nth| {
        [message("user", &format!("q{nth} {}", "x".repeat(200))), message("assistant", "a")]
    });
    let mut asked = question("the question");
    asked.messages.splice(..0, history);
    assert!(world.answer(asked).await.completed());
    let answer = world.answer(question("the next")).await;
    assert!(answer.completed(), "{:?}", answer.end());
    let (_, messages) = shown(&world, world.model.calls().len() - 1);
    assert!(messages.len() < 60, "{}", messages.len());
    assert_eq!(messages.last().unwrap()["content"], "the next");
}

#[tokio::test]
async fn an_answer_cites_the_passages_that_its_text_names() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# Otters\n\nOtters sleep holding hands.\n\n# Storks\n\nStorks clatter.\n";
    std::fs::write(folder.path().join("animals.md"), text).unwrap();
    let change = |config: &mut agent::Config| config.knowledge.folders = vec![folder.path().into()];
    let world = World::with(change, records().await).await;
    let asked = script(&Script {
        tool_calls: calls(&[("a", "search_knowledge", json!({"query": "how do otters sleep"}))]),
        then: vec![Script {
            text: Some("They hold hands [1]. Really [1], not [7].".to_owned()),
            ..Script::default()
        }],
        ..Script::default()
    });
    let answer = world.answer(asked).await;
    assert!(answer.completed(), "{:?}", answer.end());
    let found = heard(&world, 1, "a");
    assert!(found.contains("[1] animals.md > Otters"), "{found}");
    let cited = citations(&answer);
    assert_eq!(cited.len(), 1, "{cited:?}");
    assert_eq!((cited[0].number, cited[0].source.as_str()), (1, "animals.md"));
    assert_eq!((cited[0].first_line, cited[0].heading.as_str()), (3, "Otters"));
    let later = script(&Script { text: Some("As in [1].".to_owned()), ..Script::default() });
    assert_eq!(citations(&world.answer(later).await)[0].source, "animals.md");
}

#[tokio::test]
async fn what_a_user_had_remembered_is_known_in_every_session_of_theirs_and_of_nobody_else() {
    let world = World::new().await;
    let remember = json!({"text": "The user's dog is called Rex."});
    let asked = script(&Script {
        tool_calls: calls(&[("a", "remember", remember)]),
        then: vec![Script { text: Some("Noted.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    assert!(world.answer(asked).await.completed());
    let of = |user: &str| AskRequest {
        user_id: user.to_owned(),
        session_id: "another".to_owned(),
        ..question("What is my dog called?")
    };
    assert!(world.answer(of("ann")).await.completed());
    assert!(world.answer(of("ben")).await.completed());
    assert!(shown(&world, 2).0.contains("Rex"), "{}", shown(&world, 2).0);
    assert!(!shown(&world, 3).0.contains("Rex"), "{}", shown(&world, 3).0);
}

#[tokio::test]
async fn memories_are_found_by_what_they_mean_where_embeddings_are_configured() {
    let change = |config: &mut agent::Config| {
        config.memory.embeddings = Some("openai/embed".to_owned());
        config.memory.budget = 64;
    };
    let world = World::with(change, records().await).await;
    for text in ["The user drives an old automobile.", "The user plays the cello on Fridays."] {
        let asked = script(&Script {
            tool_calls: calls(&[("a", "remember", json!({"text": text}))]),
            then: vec![Script::default()],
            ..Script::default()
        });
        assert!(world.answer(asked).await.completed());
    }
    let recall = script(&Script {
        tool_calls: calls(&[("z", "recall", json!({"query": "car", "limit": 1}))]),
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(recall).await;
    assert!(answer.text().contains("automobile"), "{}", answer.text());
}
