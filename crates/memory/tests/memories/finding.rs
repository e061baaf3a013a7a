//! What a model is told for a question.

use crate::world::{memories, remember, texts, user};

const KNOWN: &[&str] = &[
    "The user's name is Ann",
    "Allergic to peanuts",
    "养了一只叫旺财的小狗",
    "Works as a nurse in Leeds",
    "Prefers short answers in English",
];

#[tokio::test]
async fn the_model_is_told_what_the_question_is_about_and_then_the_newest() {
    let (memories, ann) = (memories().await, user("ann"));
    remember(&memories, &ann, KNOWN).await;
    for (question, budget, want) in [
        // All of it fits: the matches first, then the newest.
        ("May I eat peanuts?", 1_000, &[1, 4, 3, 2, 0][..]),
        ("我的小狗叫什么?", 1_000, &[2, 4, 3, 1, 0]),
        ("", 1_000, &[4, 3, 2, 1, 0]),
        // Not all: with room for some that do not match.
        ("May I eat peanuts?", 76, &[1, 4, 3]),
        // Nothing matches: the newest.
        ("What is photosynthesis?", 60, &[4, 3]),
        // The newest does not fit, the one before does.
        ("What is photosynthesis?", 30, &[3]),
        ("What is photosynthesis?", 5, &[]),
        ("May I eat peanuts?", 0, &[]),
    ] {
        let told = memories.relevant(&ann, question, budget).await.unwrap();
        let want: Vec<_> = want.iter().map(|at| KNOWN[*at]).collect();
        assert_eq!(texts(&told), want, "{question} {budget}");
        assert!(told.iter().map(|it| it.text.len()).sum::<usize>() <= budget);
    }
    let nobody = memories.relevant(&user("nobody"), "May I eat peanuts?", 1_000).await.unwrap();
    assert_eq!(nobody, []);
}

#[tokio::test]
async fn a_question_of_any_length_is_answered() {
    let (memories, ann) = (memories().await, user("ann"));
    remember(&memories, &ann, KNOWN).await;
    for filler in ["x ", "狗 ", "🦀"] {
        let question = format!("peanuts {}", filler.repeat(300_000));
        let told = memories.relevant(&ann, &question, 1_000).await.unwrap();
        assert_eq!(told.len(), KNOWN.len());
        assert!(texts(&told[..2]).contains(&"Allergic to peanuts"), "{filler}");
    }
}
