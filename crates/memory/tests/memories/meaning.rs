//! Finding by meaning, and doing without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Broker, Bucket, Key};
use memory::Author;
use prost::Message as _;
use proto::{Memory, UserId};
use tokio::time::{Instant, timeout};

use crate::world::{LONG, Scripted, embedded, found, of, remember, sense, texts, user};

type Vectors = Result<Vec<Vec<f32>>, String>;

/// What the store holds of a user, vectors and all.
async fn kept(broker: &Broker, user: &UserId) -> Vec<Memory> {
    let mut kept = Vec::new();
    for key in broker.records.list(Bucket::Memory, &Key::user(user)).await.unwrap() {
        let record = broker.records.get(Bucket::Memory, &key).await.unwrap().unwrap();
        kept.push(Memory::decode(record.value).unwrap());
    }
    kept
}

#[tokio::test]
async fn with_an_embedder_memories_are_found_that_share_no_word() {
    let (broker, ann) = (embedded().await, user("ann"));
    let plain = of(&broker);
    let wise = plain.clone().embedded(Scripted::sage("wise/1"));
    remember(&wise, &ann, &["Has a dog", "Drinks tea", "养了一只狗"]).await;
    assert_eq!(found(&plain, &ann, "pet").await, Vec::<String>::new());
    let pets = found(&wise, &ann, "pet").await;
    assert_eq!(pets[..2], ["养了一只狗", "Has a dog"]);
    // What both find comes first.
    assert_eq!(found(&wise, &ann, "a dog, or another pet").await[0], "Has a dog");
    for memory in kept(&broker, &ann).await {
        assert_eq!(
            (memory.embedding, memory.embedding_model.as_str()),
            (sense(&memory.text), "wise/1")
        );
    }
    for shown in wise.list(&ann).await.unwrap() {
        assert!(shown.embedding.is_empty() && shown.embedding_model.is_empty());
    }
    let told = wise.relevant(&ann, "Which pet?", 32).await.unwrap();
    assert_eq!(texts(&told), ["养了一只狗", "Has a dog"]);
}

#[tokio::test]
async fn an_embedder_is_not_asked_where_there_is_nothing_to_choose() {
    let (broker, ann) = (embedded().await, user("ann"));
    let plain = of(&broker);
    let sage = Scripted::sage("wise/1");
    let wise = plain.clone().embedded(Arc::<Scripted>::clone(&sage));
    assert!(found(&wise, &ann, "pet").await.is_empty());
    remember(&plain, &ann, &["Has a dog", "Drinks tea"]).await;
    for (question, budget) in [("Which pet?", 19), ("", 5)] {
        wise.relevant(&ann, question, budget).await.unwrap();
        assert_eq!(sage.asked(), 0, "{question}");
    }
    wise.relevant(&ann, "Which pet?", 18).await.unwrap();
    // The question, and the memories.
    assert_eq!(sage.asked(), 2);
}

#[tokio::test]
async fn memories_without_a_vector_or_with_another_models_get_theirs_when_searched() {
    let (broker, ann) = (embedded().await, user("ann"));
    let plain = of(&broker);
    remember(&plain, &ann, &["Has a dog"]).await;
    let numbers: Vec<_> = (0..94).map(|it| format!("number {it}")).collect();
    remember(&plain, &ann, &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for model in ["wise/1", "wise/2"] {
        let sage = Scripted::sage(model);
        let wise = plain.clone().embedded(Arc::<Scripted>::clone(&sage));
        let of_model = async || {
            let all = kept(&broker, &ann).await;
            all.into_iter().filter(|it| it.embedding_model == model).count()
        };
        // In batches, and so many of them: the newest first.
        found(&wise, &ann, "pet").await;
        assert_eq!((sage.asked(), of_model().await), (9, 80));
        assert_eq!(found(&wise, &ann, "pet").await[0], "Has a dog");
        assert_eq!((sage.asked(), of_model().await), (12, 95));
        // Nothing is asked twice.
        found(&wise, &ann, "pet").await;
        assert_eq!(sage.asked(), 13);
    }
}

#[tokio::test]
async fn what_is_forgotten_while_it_is_embedded_stays_forgotten() {
    let (broker, ann) = (embedded().await, user("ann"));
    let plain = of(&broker);
    let added = remember(&plain, &ann, &["Has a dog", "Drinks tea"]).await;
    let (forgetful, id, owner) = (plain.clone(), added[0].id.clone(), ann.clone());
    let wise = plain.clone().embedded(Scripted::new("wise/1", move |texts| {
        let (forgetful, id, owner) = (forgetful.clone(), id.clone(), owner.clone());
        async move {
            // Not for the query, but once the memory has been read.
            if texts.iter().any(|it| it == "Has a dog") {
                assert!(forgetful.forget(&owner, &id).await.unwrap());
                // Also when it came back meanwhile, it is another one.
                forgetful.add(&owner, "has a dog", Author::User).await.unwrap();
                assert!(forgetful.forget(&owner, &id).await.unwrap());
            }
            Ok(texts.iter().map(|it| sense(it)).collect())
        }
    }));
    wise.search(&ann, "pet", 5).await.unwrap();
    let kept = kept(&broker, &ann).await;
    assert_eq!(texts(&kept), ["Drinks tea"]);
    assert_eq!(kept[0].embedding_model, "wise/1");
}

#[tokio::test]
async fn an_embedder_that_fails_leaves_the_words_and_is_left_alone_for_a_while() {
    let (broker, ann) = (embedded().await, user("ann"));
    let plain = of(&broker);
    remember(&plain, &ann, &["Has a dog", "Drinks tea"]).await;
    let fails: [fn() -> Vectors; 4] = [
        || Err("HTTP 500".to_owned()),
        || Ok(vec![]),
        || Ok(vec![vec![]]),
        || Ok(vec![vec![f32::NAN]]),
    ];
    for fail in fails {
        let failing = Scripted::new("broken/1", move |_| async move { fail() });
        let wise = plain.clone().embedded(Arc::<Scripted>::clone(&failing));
        for _ in 0..3 {
            assert_eq!(found(&wise, &ann, "tea").await, ["Drinks tea"]);
        }
        assert_eq!(failing.asked(), 1);
        wise.add(&ann, "Likes tea", Author::User).await.unwrap();
        assert_eq!(failing.asked(), 2);
        assert_eq!(plain.forget_all(&ann).await.unwrap(), 3);
        remember(&plain, &ann, &["Has a dog", "Drinks tea"]).await;
    }
    assert!(kept(&broker, &ann).await.iter().all(|it| it.embedding.is_empty()));
}

/// Real time: the store answers from threads that a paused clock overtakes.
#[tokio::test]
async fn an_embedder_that_never_answers_costs_two_seconds_once() {
    let (broker, ann) = (embedded().await, user("ann"));
    let plain = of(&broker);
    remember(&plain, &ann, &["Has a dog"]).await;
    let silent = Scripted::new("silent/1", |_| std::future::pending());
    let wise = plain.clone().embedded(Arc::<Scripted>::clone(&silent));
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(timeout(LONG, found(&wise, &ann, "dog")).await.unwrap(), ["Has a dog"]);
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
    assert_eq!(silent.asked(), 1);
}

#[tokio::test]
async fn texts_that_an_embedder_refuses_are_in_nobodys_way() {
    let (broker, ann) = (embedded().await, user("ann"));
    let plain = of(&broker);
    remember(&plain, &ann, &["Has a dog"]).await;
    let numbers: Vec<_> = (0..9).map(|it| format!("number {it}")).collect();
    remember(&plain, &ann, &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    remember(&plain, &ann, &["poison"]).await;
    let poisoned = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&poisoned);
    let wise = plain.clone().embedded(Scripted::new("picky/1", move |texts: Vec<String>| {
        let refuses = texts.iter().any(|it| it == "poison");
        seen.fetch_or(refuses, Ordering::SeqCst);
        async move {
            if refuses {
                Err("refused".to_owned())
            } else {
                Ok(texts.iter().map(|it| sense(it)).collect())
            }
        }
    }));
    // The newest ten hold the poison; the dog is in the batch after.
    assert_eq!(found(&wise, &ann, "pet").await[0], "Has a dog");
    assert!(poisoned.load(Ordering::SeqCst));
    // And the query is asked all the same.
    assert_eq!(found(&wise, &ann, "pet").await[0], "Has a dog");
}
