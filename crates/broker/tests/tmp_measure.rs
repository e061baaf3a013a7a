use broker::sqlite::{Place, open};
use broker::*;
use prost::Message as _;
use proto::*;
use std::time::Duration;
use tokio::time::Instant;
fn entry(f: Sequence, end: bool) -> bytes::Bytes {
    let mut e = Entry {
        version: 1,
        follows: f.0,
        turn_id: TurnId::new().to_string(),
        events: vec![Event::from(event::Kind::Text("hello ".repeat(10)))],
        state: Some(SessionState {
            turn_id: "0192c4f0-0000-7000-8000-000000000000".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    if end {
        e.state.as_mut().unwrap().ending = 1;
    }
    e.encode_to_vec().into()
}
async fn measure(name: &str, b: Broker) {
    let log = &b.log;
    for end in [false, true] {
        let s = Session::parse("u", if end { "e" } else { "d" }).unwrap();
        let mut last = Sequence::START;
        let mut t = vec![];
        for _ in 0..2000 {
            let n = Instant::now();
            last = log.append(&s, last, entry(last, end)).await.unwrap();
            t.push(n.elapsed());
        }
        t.sort();
        println!(
            "{name} append end={end} p50 {:?} p99 {:?}",
            t[1000], t[1980]
        );
    }
    let s = Session::parse("u", "d").unwrap();
    let mut t = vec![];
    for _ in 0..2000 {
        let n = Instant::now();
        log.last(&s).await.unwrap();
        t.push(n.elapsed());
    }
    t.sort();
    println!("{name} last p50 {:?} p99 {:?}", t[1000], t[1980]);
    let mut t = vec![];
    for _ in 0..200 {
        let n = Instant::now();
        log.read(&s, Sequence::START, 64).await.unwrap();
        t.push(n.elapsed());
    }
    t.sort();
    println!("{name} read64 p50 {:?}", t[100]);
    let n = Instant::now();
    let all = (0..64).map(|i| {
        let log = log.clone();
        async move {
            let s = Session::parse("u", &format!("c{i}")).unwrap();
            let mut last = Sequence::START;
            for _ in 0..300 {
                last = log.append(&s, last, entry(last, false)).await.unwrap();
            }
        }
    });
    futures::future::join_all(all).await;
    println!(
        "{name} 64 sessions: {:.0}/s",
        64.0 * 300.0 / n.elapsed().as_secs_f64()
    );
    let n = Instant::now();
    let all = (0..64).map(|i| {
        let log = log.clone();
        async move {
            let s = Session::parse("u", &format!("f{i}")).unwrap();
            let mut last = Sequence::START;
            for _ in 0..100 {
                last = log.append(&s, last, entry(last, true)).await.unwrap();
            }
        }
    });
    futures::future::join_all(all).await;
    println!(
        "{name} 64 sessions FULL: {:.0}/s",
        64.0 * 100.0 / n.elapsed().as_secs_f64()
    );
    let mut t = vec![];
    for i in 0..1000 {
        let s = Session::parse("u", &format!("q{i}")).unwrap();
        let j = Job {
            version: 1,
            turn_id: TurnId::new().to_string(),
            ..Default::default()
        };
        let n = Instant::now();
        b.queue.submit(&s, &j, Admission::IfEmpty).await.unwrap();
        let d = b.queue.next().await.unwrap();
        t.push(n.elapsed());
        d.lease.acknowledge().await.unwrap();
    }
    t.sort();
    println!("{name} submit+next p50 {:?} p99 {:?}", t[500], t[990]);
    let _ = Duration::ZERO;
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m() {
    let d = tempfile::tempdir().unwrap();
    measure(
        "disk",
        open(Place::Folder(d.path().into()), Limits::default())
            .await
            .unwrap(),
    )
    .await;
    measure(
        "memory",
        open(Place::Memory, Limits::default()).await.unwrap(),
    )
    .await;
    // rows beyond the queue: 20k jobs
}
