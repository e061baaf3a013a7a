use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
use std::time::Duration;
use async_trait::async_trait;
use broker::{Bucket, Expected, Key, Record, Records, Result, Error};
use bytes::Bytes;
use proto::ask_event::Kind;
use serde_json::json;
use testkit::model::Script;
use crate::tools::*;
use crate::world::*;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode { LandThenHang, HangOnly, LandThenUnavailable, Unavailable, LandThenConflict, GetUnavailable }

#[derive(Debug)]
pub struct Faulty { pub inner: Arc<dyn Records>, pub at: usize, pub mode: Mode, pub n: AtomicUsize, pub hung: tokio::sync::Notify }

#[async_trait]
impl Records for Faulty {
    async fn get(&self, b: Bucket, k: &Key) -> Result<Option<Record>> {
        if self.mode == Mode::GetUnavailable && self.n.fetch_add(1, Ordering::SeqCst) == self.at { return Err(Error::Unavailable("x".into())); }
        self.inner.get(b, k).await
    }
    async fn put(&self, b: Bucket, k: &Key, v: Bytes, e: Expected) -> Result<u64> {
        if self.mode != Mode::GetUnavailable && self.n.fetch_add(1, Ordering::SeqCst) == self.at {
            match self.mode {
                Mode::LandThenHang => { let r = self.inner.put(b, k, v, e).await; self.hung.notify_one(); std::future::pending::<()>().await; return r }
                Mode::HangOnly => { self.hung.notify_one(); std::future::pending::<()>().await; }
                Mode::LandThenUnavailable => { let _ = self.inner.put(b, k, v, e).await; return Err(Error::Unavailable("x".into())) }
                Mode::Unavailable => return Err(Error::Unavailable("x".into())),
                Mode::LandThenConflict => { let _ = self.inner.put(b, k, v, e).await; return Err(Error::Conflict) }
                Mode::GetUnavailable => {}
            }
        }
        self.inner.put(b, k, v, e).await
    }
    async fn delete(&self, b: Bucket, k: &Key) -> Result<()> { self.inner.delete(b, k).await }
    async fn list(&self, b: Bucket, k: &Key) -> Result<Vec<Key>> { self.inner.list(b, k).await }
    async fn all(&self, b: Bucket) -> Result<Vec<Key>> { self.inner.all(b).await }
}

fn counts(config: &mut agent::Config) { allowing(config, "t__count"); }

fn one() -> proto::AskRequest {
    script(&Script {
        text: Some("Counting.".into()),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1})), ("b", "t__read", json!({"key": "k"}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    })
}

#[tokio::test]
async fn s1_sweep() {
    for resume in [false, true] {
    for mode in [Mode::LandThenHang, Mode::HangOnly, Mode::LandThenUnavailable, Mode::Unavailable, Mode::LandThenConflict, Mode::GetUnavailable] {
        for at in 0..12 {
            let inner = records().await;
            let server = testkit::mcp::Server::start().await.unwrap();
            let mut asked = one();
            let change = |c: &mut agent::Config| if !resume { counts(c) };
            if resume {
                let w = beside(change, &inner, &server).await;
                let p = pending(&w.answer(asked.clone()).await);
                asked = deciding(&asked, vec![decision(&p[0], "accept")]);
            }
            let faulty = Arc::new(Faulty { inner: Arc::clone(&inner), at, mode, n: AtomicUsize::new(0), hung: tokio::sync::Notify::new() });
            let dynf: Arc<dyn Records> = faulty.clone();
            let w = beside(change, &dynf, &server).await;
            let mut events = w.ask(asked.clone()).await.unwrap();
            let mut said = vec![];
            let mut crashed = false;
            loop {
                tokio::select! {
                    it = futures::StreamExt::next(&mut events) => match it { Some(Ok(e)) => said.push(e), Some(Err(s)) => { said.push(Default::default()); println!("ERR {s:?}"); break }, None => break },
                    () = faulty.hung.notified() => { tokio::time::sleep(Duration::from_millis(50)).await; crashed = true; 
                        break }
                }
            }
            let mut end = said.last().and_then(|e| e.kind.clone());
            let (mut text, mut kinds) = (String::new(), vec![]);
            if crashed {
                drop((events, w));
                let w = beside(change, &inner, &server).await;
                let last = said.last().cloned().unwrap_or_default();
                let rest = w.answer(proto::AskRequest { resume_run: last.run, resume_after: last.index, ..asked.clone() }).await;
                said.extend(rest.events);
                end = said.last().and_then(|e| e.kind.clone());
            }
            let mut kept: Vec<proto::AskEvent> = vec![];
            for e in said { if let Some(Kind::Rewind(r)) = &e.kind { let to = r.to; kept.retain(|it| it.index <= to) } else { kept.push(e) } }
            for e in &kept { if let Some(Kind::Text(t)) = &e.kind { text.push_str(t) } else { kinds.push(format!("{:?}", e.kind).chars().take(16).collect::<String>()) } }
            let used = faulty.n.load(Ordering::SeqCst) > at;
            let n = server.count();
            let unknown = matches!(&end, Some(Kind::Interrupted(_)));
            let good = n <= 1 && (matches!(end, Some(Kind::Completed(_))) && n == 1 || unknown);
            println!("S {resume} {mode:?} {at} used={used} crashed={crashed} count={n} end={:.40} text={text:?} {}", format!("{end:?}"), if good {""} else {"<<<<<< BAD"});
            if !used { break }
        }
    }}
}
