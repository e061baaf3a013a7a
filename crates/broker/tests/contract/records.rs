//! Small values with compare-and-set.

use broker::{Bucket, Error, Expected, Key, MAX_RECORD_BYTES, Record};
use bytes::Bytes;
use futures::future::{join, join_all};

use crate::world::{World, soon};

fn key(world: &World, id: &str) -> Key {
    Key::session(&world.session(id))
}

fn value(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

pub(crate) async fn a_value_is_read_back_with_its_revision(world: &World) {
    let (records, key) = (&world.broker.records, key(world, "a"));
    let mut before = 0;
    for text in ["one", "two", ""] {
        let revision =
            records.put(Bucket::Sessions, &key, value(text), Expected::Any).await.unwrap();
        assert!(revision > before);
        before = revision;
        let record = records.get(Bucket::Sessions, &key).await.unwrap().unwrap();
        assert_eq!(record.value, value(text));
        assert_eq!(record.revision, revision);
    }
}

pub(crate) async fn what_is_not_there_is_none(world: &World) {
    let (records, key) = (&world.broker.records, key(world, "nothing"));
    for bucket in Bucket::ALL {
        assert_eq!(records.get(bucket, &key).await, Ok(None));
        assert_eq!(records.list(bucket, &key).await, Ok(vec![]));
        assert_eq!(records.delete(bucket, &key).await, Ok(()));
    }
}

pub(crate) async fn a_change_must_expect_the_revision_it_saw(world: &World) {
    let (records, key) = (&world.broker.records, key(world, "a"));
    let put = async |text: &str, expected| {
        records.put(Bucket::Reviews, &key, value(text), expected).await
    };
    assert_eq!(put("no", Expected::Revision(1)).await, Err(Error::Conflict));
    let first = put("first", Expected::Absent).await.unwrap();
    assert_eq!(put("no", Expected::Absent).await, Err(Error::Conflict));
    let second = put("second", Expected::Revision(first)).await.unwrap();
    for stale in [first, second + 1] {
        let refused = put("no", Expected::Revision(stale)).await;
        assert_eq!(refused, Err(Error::Conflict), "at {stale}");
    }
    let record = records.get(Bucket::Reviews, &key).await.unwrap().unwrap();
    assert_eq!(record.value, value("second"));
    assert_eq!(record.revision, second);
}

pub(crate) async fn only_one_of_many_creates_a_record(world: &World) {
    let (records, key) = (&world.broker.records, key(world, "a"));
    let creations =
        (0..16).map(|_| records.put(Bucket::Keys, &key, value("mine"), Expected::Absent));
    let created = soon(join_all(creations)).await;
    let winners = created.iter().filter(|it| it.is_ok()).count();
    assert_eq!(winners, 1, "{created:?}");
    for refused in created.into_iter().filter_map(Result::err) {
        assert_eq!(refused, Error::Conflict);
    }
}

pub(crate) async fn a_deleted_record_is_gone_and_its_revision_is_not_reused(world: &World) {
    let (records, key) = (&world.broker.records, key(world, "a"));
    let put = async |expected| records.put(Bucket::Memory, &key, value("v"), expected).await;
    let first = put(Expected::Absent).await.unwrap();
    records.delete(Bucket::Memory, &key).await.unwrap();
    assert_eq!(records.get(Bucket::Memory, &key).await, Ok(None));
    assert_eq!(records.list(Bucket::Memory, &key).await, Ok(vec![]));
    assert_eq!(put(Expected::Revision(first)).await, Err(Error::Conflict));
    let second = put(Expected::Absent).await.unwrap();
    assert!(second > first);
    records.delete(Bucket::Memory, &key).await.unwrap();
    assert!(put(Expected::Any).await.unwrap() > second);
}

pub(crate) async fn keys_are_listed_below_a_prefix_in_order(world: &World) {
    let records = &world.broker.records;
    let (a, similar) = (key(world, "a"), key(world, "a-b"));
    let dotted = key(world, "a.b");
    let mut below: Vec<Key> =
        ["x", "*", ">", "a.b", "中文", "X", "10", "9"].map(|it| a.child(it)).to_vec();
    below.push(a.child("x").child("deeper"));
    for key in below.iter().chain([&a, &similar, &dotted]) {
        records.put(Bucket::Ledgers, key, value("v"), Expected::Absent).await.unwrap();
    }
    below.push(a.clone());
    below.sort();
    assert_eq!(records.list(Bucket::Ledgers, &a).await, Ok(below.clone()));
    let user = Key::user(&world.session("a").user);
    below.extend([similar, dotted]);
    below.sort();
    assert_eq!(records.list(Bucket::Ledgers, &user).await, Ok(below));
    let child = a.child("x");
    let expected = vec![child.clone(), child.child("deeper")];
    assert_eq!(records.list(Bucket::Ledgers, &child).await, Ok(expected));
}

pub(crate) async fn records_are_read_below_a_prefix_in_order(world: &World) {
    let records = &world.broker.records;
    let user = Key::user(&world.session("a").user);
    assert_eq!(records.below(Bucket::Sessions, &user).await, Ok(vec![]));
    let mut expected = Vec::new();
    // More than are asked for at once.
    let ids = (0..70).map(|it| it.to_string());
    for id in ids.chain(["*", "a.b", "中文", "Z"].map(str::to_owned)) {
        let key = key(world, &id);
        let stored = records.put(Bucket::Sessions, &key, value(&id), Expected::Absent);
        let revision = stored.await.unwrap();
        expected.push((key, Record { value: value(&id), revision }));
    }
    let theirs = Key::session(&world.of("x", "a"));
    records.put(Bucket::Sessions, &theirs, value("theirs"), Expected::Absent).await.unwrap();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(soon(records.below(Bucket::Sessions, &user)).await, Ok(expected.clone()));
    expected.retain(|it| it.0 == key(world, "7"));
    assert_eq!(records.below(Bucket::Sessions, &key(world, "7")).await, Ok(expected));
    assert_eq!(records.below(Bucket::Ledgers, &user).await, Ok(vec![]));
}

pub(crate) async fn a_record_that_vanishes_while_they_are_read_is_left_out(world: &World) {
    let records = &world.broker.records;
    let user = Key::user(&world.session("a").user);
    let keys: Vec<Key> = (10..50).map(|it| key(world, &it.to_string())).collect();
    for key in &keys {
        records.put(Bucket::Sessions, key, value("v"), Expected::Absent).await.unwrap();
    }
    let (stays, goes) = keys.split_at(20);
    let erase = join_all(goes.iter().map(|it| records.delete(Bucket::Sessions, it)));
    let (read, deleted) = soon(join(records.below(Bucket::Sessions, &user), erase)).await;
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let read: Vec<Key> = read.unwrap().into_iter().map(|it| it.0).collect();
    assert!(read.is_sorted() && read.iter().all(|it| keys.contains(it)), "{read:?}");
    assert!(stays.iter().all(|it| read.contains(it)), "{read:?}");
    let left = records.below(Bucket::Sessions, &user).await.unwrap();
    assert!(left.iter().map(|it| &it.0).eq(stays));
}

pub(crate) async fn a_secret_is_nobodys(world: &World) {
    let records = &world.broker.records;
    // The store may be shared with other cases.
    let key = Key::secret(world.session("s").user.as_str());
    let first = records.put(Bucket::Secrets, &key, value("one"), Expected::Absent).await.unwrap();
    let again = records.put(Bucket::Secrets, &key, value("two"), Expected::Absent).await;
    assert_eq!(again, Err(Error::Conflict));
    let kept = Record { value: value("one"), revision: first };
    assert_eq!(records.get(Bucket::Secrets, &key).await, Ok(Some(kept)));
    for name in ["s", "=", "*"] {
        let user = Key::user(&world.of(name, "s").user);
        assert_eq!(records.list(Bucket::Secrets, &user).await, Ok(vec![]));
    }
    records.delete(Bucket::Secrets, &key).await.unwrap();
}

pub(crate) async fn all_keys_of_a_bucket_are_listed_in_order(world: &World) {
    let records = &world.broker.records;
    let users = ["one", "*", "a.b", "用户", "Z", "10"];
    let mut mine: Vec<Key> =
        users.map(|it| Key::session(&world.of(it, "s")).child("turn")).to_vec();
    mine.push(Key::user(&world.session("s").user));
    for key in &mine {
        records.put(Bucket::DeadLetters, key, value("v"), Expected::Absent).await.unwrap();
    }
    mine.sort();
    // The store may be shared with other cases.
    let mut all = records.all(Bucket::DeadLetters).await.unwrap();
    assert!(all.is_sorted());
    all.retain(|it| mine.contains(it));
    assert_eq!(all, mine);
    records.delete(Bucket::DeadLetters, &mine[0]).await.unwrap();
    let all = records.all(Bucket::DeadLetters).await.unwrap();
    assert!(!all.contains(&mine[0]) && all.contains(&mine[1]));
}

pub(crate) async fn buckets_and_users_never_meet(world: &World) {
    let records = &world.broker.records;
    let (mine, theirs) = (Key::session(&world.session("a")), Key::session(&world.of("x", "a")));
    for bucket in Bucket::ALL {
        records.put(bucket, &mine, value(bucket.name()), Expected::Absent).await.unwrap();
    }
    for bucket in Bucket::ALL {
        let record = records.get(bucket, &mine).await.unwrap().unwrap();
        assert_eq!(record.value, value(bucket.name()));
        assert_eq!(records.get(bucket, &theirs).await, Ok(None));
        assert_eq!(records.list(bucket, &mine).await, Ok(vec![mine.clone()]));
    }
}

pub(crate) async fn a_record_past_its_limit_is_too_large(world: &World) {
    let (records, key) = (&world.broker.records, key(world, "a"));
    let large = Bytes::from(vec![7; MAX_RECORD_BYTES + 1]);
    let refused = records.put(Bucket::Transcripts, &key, large.clone(), Expected::Any).await;
    let too_large =
        Error::TooLarge { what: "record", size: MAX_RECORD_BYTES + 1, limit: MAX_RECORD_BYTES };
    assert_eq!(refused, Err(too_large));
    let largest = large.slice(1..);
    records.put(Bucket::Transcripts, &key, largest.clone(), Expected::Any).await.unwrap();
    let record = records.get(Bucket::Transcripts, &key).await.unwrap();
    assert_eq!(record.unwrap().value, largest);
}
