//! On disk and on a real nats-server, as in memory; and as many as a user may
//! have.

use broker::nats::Config;
use broker::{Broker, Bucket, Limits};
use memory::{Author, MAX_MEMORIES};
use proto::UserId;
use tempfile::TempDir;
use testkit::nats::Server;
use tokio::time::timeout;

use crate::world::{LONG, found, of, remember, texts, user};

/// The store in a folder, once nobody else has it open.
async fn on_disk(folder: &TempDir) -> Broker {
    let opened = async {
        loop {
            let place = broker::sqlite::Place::Folder(folder.path().to_owned());
            if let Ok(broker) = broker::sqlite::open(place, Limits::default()).await {
                return broker;
            }
        }
    };
    timeout(LONG, opened).await.unwrap()
}

async fn lives(broker: &Broker) {
    let (memories, ann, bob) = (of(broker), user("a"), user("a.b"));
    let added = remember(&memories, &ann, &["Has a dog", "住在上海", "Likes tea"]).await;
    remember(&memories, &bob, &["Has a dog"]).await;
    assert_eq!(found(&memories, &ann, "上海的天气").await, ["住在上海"]);
    let forget = async || memories.forget(&ann, &added[0].id).await.unwrap();
    assert_eq!((forget().await, forget().await), (true, false));
    assert_eq!(texts(&memories.list(&ann).await.unwrap()), ["Likes tea", "住在上海"]);
    all_forgotten(broker, &[(ann, 2), (bob, 1)]).await;
}

/// Each of them had so many, and forgets them.
async fn all_forgotten(broker: &Broker, users: &[(UserId, usize)]) {
    for (user, many) in users {
        assert_eq!(of(broker).list(user).await.unwrap().len(), *many);
        assert_eq!(of(broker).forget_all(user).await.unwrap(), *many);
    }
    assert_eq!(broker.records.all(Bucket::Memory).await.unwrap(), []);
}

#[tokio::test]
async fn a_file_keeps_memories_over_a_restart() {
    let folder = TempDir::new().unwrap();
    let broker = on_disk(&folder).await;
    timeout(LONG, lives(&broker)).await.unwrap();
    remember(&of(&broker), &user("ann"), &["Likes tea"]).await;
    drop(broker);
    let memories = of(&on_disk(&folder).await);
    assert_eq!(found(&memories, &user("ann"), "tea").await, ["Likes tea"]);
}

#[tokio::test]
async fn nats_keeps_memories_and_no_message_of_forgotten_ones() {
    let server = Server::start().await.unwrap();
    let broker = broker::nats::open(Config::new(server.url())).await.unwrap();
    timeout(LONG, lives(&broker)).await.unwrap();
    // Neither a value nor a marker that there was one.
    let streams = server.page("jsz?streams=1").await.unwrap();
    let streams = streams["account_details"][0]["stream_detail"].as_array().unwrap();
    let bucket = streams.iter().find(|it| it["name"] == "KV_weir_memory").unwrap();
    let state = &bucket["state"];
    assert_eq!((&state["messages"], &state["bytes"]), (&0.into(), &0.into()));
    assert!(state["last_seq"].as_u64().unwrap() > 0, "{state}");
}

/// As many as may be, in both languages.
async fn is_searched(broker: &Broker) {
    let (memories, ann) = (of(broker), user("ann"));
    for number in 0..MAX_MEMORIES {
        let often =
            "likes this place in 上海, 喜欢那里的绿茶和点心, and often goes there with friend";
        let text = format!("记忆 {number}: the user {often} {}", number % 7);
        memories.add(&ann, &text, Author::User).await.unwrap();
    }
    let found = found(&memories, &ann, "记忆 503: 和谁去喝绿茶?").await;
    assert_eq!(found.len(), 10);
    assert!(found[0].starts_with("记忆 503:"), "{found:?}");
}

#[tokio::test]
async fn a_thousand_memories_are_searched_on_every_store() {
    let folder = TempDir::new().unwrap();
    timeout(LONG, is_searched(&on_disk(&folder).await)).await.unwrap();
    let server = Server::start().await.unwrap();
    let broker = broker::nats::open(Config::new(server.url())).await.unwrap();
    timeout(LONG, is_searched(&broker)).await.unwrap();
}
