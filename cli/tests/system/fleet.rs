//! Three roles as processes on a real nats-server: two gateways show the same,
//! and a worker's death costs nothing.

use anyhow::{Context as _, Result};
use testkit::model::{Ending, Script};
use testkit::sse::raw;

use crate::stage::{Fleet, is_end, said, text, tokens};

#[tokio::test]
async fn two_gateways_show_the_same_bytes_and_a_cut_at_any_event_loses_nothing() -> Result<()> {
    let fleet = Fleet::start().await?;
    let (one, two) = (fleet.client(0)?, fleet.client(1)?);

    let mut watching = two.events("s", "now").await?;
    let asked = one.ask("s", &tokens(200, 15)).await?.read_all().await?;
    let watched = watching.read_until(is_end).await?;
    assert_eq!(text(&asked), said(200));
    assert_eq!(raw(&asked), raw(&watched));
    assert!(asked.len() > 100, "the turn has too few events to be worth cutting: {}", asked.len());

    let whole = raw(&asked);
    for cut in 0..asked.len() - 1 {
        let gateway = if cut % 2 == 0 { &two } else { &one };
        let id = asked[cut].id.as_deref().context("every frame has an id")?;
        let rest = gateway.resume("s", id).await?.read_until(is_end).await?;
        let joined = [raw(&asked[..=cut]), raw(&rest)].concat();
        assert_eq!(joined, whole, "cut after frame {cut}");
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_cut_while_the_turn_runs_resumes_at_the_other_gateway() -> Result<()> {
    let fleet = Fleet::start().await?;
    let (one, two) = (fleet.client(0)?, fleet.client(1)?);
    let mut whole = two.events("s", "now").await?;
    let mut stream = one.ask("s", &tokens(120, 5)).await?;
    let mut seen = Vec::new();
    for at in 0.. {
        let frame = stream.next().await?.context("a stream that ended without an end")?;
        let over = is_end(&frame);
        let id = frame.id.clone().context("every frame has an id")?;
        seen.push(frame);
        if over {
            break;
        }
        if at % 7 == 0 {
            stream.cut();
            stream = if at % 2 == 0 { &two } else { &one }.resume("s", &id).await?;
        }
    }
    assert_eq!(text(&seen), said(120));
    assert_eq!(raw(&seen), raw(&whole.read_until(is_end).await?));
    Ok(())
}

#[tokio::test]
async fn a_killed_worker_costs_no_character_and_no_second_model_call() -> Result<()> {
    let mut fleet = Fleet::start().await?;
    fleet.workers[1].kill().await?;
    let mut stream = fleet.client(0)?.ask("s", &tokens(300, 20)).await?;
    let mut frames =
        stream.read_until(|it| text(std::slice::from_ref(it)).contains("t40 ")).await?;
    fleet.workers[1] = fleet.worker().await?;
    fleet.workers[0].kill().await?;
    frames.extend(stream.read_all().await?);

    assert_eq!(text(&frames), said(300));
    assert_eq!(frames.iter().filter(|it| is_end(it)).count(), 1);
    assert!(frames.last().is_some_and(|it| it.is("completed")), "{:?}", frames.last());
    assert_eq!(frames.last().map(|it| it.json()["attempt"].clone()), Some(2.into()));
    let calls = fleet.model.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].ending, Ending::Finished);
    Ok(())
}

#[tokio::test]
async fn a_stop_from_another_gateway_stops_the_model_and_keeps_the_text() -> Result<()> {
    let fleet = Fleet::start().await?;
    let (one, two) = (fleet.client(0)?, fleet.client(1)?);
    let held = Script { tokens: Some(50), hold_after: Some(20), ..Script::default() };
    let mut stream = one.ask("s", &held.question()).await?;
    let mut frames =
        stream.read_until(|it| text(std::slice::from_ref(it)).contains("t19 ")).await?;

    assert_eq!(two.cancel("s", None).await?.status(), 202);
    frames.extend(stream.read_all().await?);
    assert!(frames.last().is_some_and(|it| it.is("cancelled")), "{:?}", frames.last());
    assert_eq!(text(&frames), said(20));
    assert_eq!(fleet.model.wait_for_hangup().await?.ending, Ending::HungUp);
    assert_eq!(two.cancel("s", None).await?.status(), 409);
    Ok(())
}

#[tokio::test]
async fn queued_turns_run_in_order_and_one_that_was_stopped_never_asks_the_model() -> Result<()> {
    let fleet = Fleet::start().await?;
    let client = fleet.client(0)?;
    let mut watch = client.events("s", "now").await?;
    let held = Script { tokens: Some(3), hold_after: Some(1), ..Script::default() };
    client.submit("s", &held.question()).await?;
    watch.read_until(|it| it.is("text")).await?;

    let refused = client
        .post("/v1/sessions/s/turns")
        .json(&serde_json::json!({ "userId": "test_user", "input": "no" }))
        .send()
        .await?;
    assert_eq!(refused.status(), 409);

    let mut turns = Vec::new();
    for input in ["second", "third"] {
        let body =
            serde_json::json!({ "userId": "test_user", "input": input, "admission": "enqueue" });
        let request = client.post("/v1/sessions/s/turns").header("prefer", "respond-async");
        let accepted: serde_json::Value = request.json(&body).send().await?.json().await?;
        turns.push(accepted["turnId"].as_str().context("a turn id")?.to_owned());
    }
    assert_eq!(client.cancel("s", Some(&turns[0])).await?.status(), 202);
    fleet.model.release();
    assert!(watch.read_until(is_end).await?.last().is_some_and(|it| it.is("completed")));
    let second = watch.read_until(is_end).await?;
    assert_eq!(second.last().map(|it| it.json()["turnId"].clone()), Some(turns[0].as_str().into()));
    assert!(second.last().is_some_and(|it| it.is("cancelled")));
    let third = watch.read_until(is_end).await?;
    assert_eq!(third.last().map(|it| it.json()["turnId"].clone()), Some(turns[1].as_str().into()));
    assert!(third.last().is_some_and(|it| it.is("completed")));
    assert_eq!(fleet.model.calls().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_model_that_never_rests_can_be_stopped() -> Result<()> {
    let fleet = Fleet::start().await?;
    let mut stream = fleet.client(0)?.ask("s", &tokens(3_000_000, 0)).await?;
    let begun = stream.read_until(|it| it.is("text")).await?;
    let turn = begun[0].json()["turnId"].clone();
    let stopping = async {
        let stopped = fleet.client(1)?.cancel("s", turn.as_str()).await?;
        anyhow::ensure!(stopped.status() == 202, "{stopped:?}");
        Ok(())
    };
    let ((), rest) = tokio::try_join!(stopping, stream.read_all())?;
    assert!(rest.last().is_some_and(|it| it.is("cancelled")), "{:?}", rest.last());
    assert_eq!(fleet.model.wait_for_hangup().await?.ending, Ending::HungUp);
    Ok(())
}

#[tokio::test]
async fn sessions_of_the_same_name_of_two_users_never_meet() -> Result<()> {
    let fleet = Fleet::start().await?;
    let (ann, bob) = (fleet.client(0)?.user("a.b"), fleet.client(1)?.user("*"));
    let path = "%3E"; // the session is called `>`
    ann.ask(path, "from ann").await?.read_all().await?;
    let answer = text(&bob.ask(path, "from bob").await?.read_all().await?);
    assert!(answer.contains("bob") && !answer.contains("ann"), "{answer}");
    let of_bob = bob.events(path, "start").await?.read_until(is_end).await?;
    assert!(!String::from_utf8_lossy(&raw(&of_bob)).contains("ann"));

    let second = text(&ann.ask(path, "again").await?.read_all().await?);
    assert_eq!(second, testkit::model::echo("again", 2), "the second question knows the first");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_hands_its_turn_to_the_next() -> Result<()> {
    let mut fleet = Fleet::start().await?;
    fleet.workers[1].kill().await?;
    let held = Script { tokens: Some(20), hold_after: Some(10), ..Script::default() };
    let mut stream = fleet.client(0)?.ask("s", &held.question()).await?;
    let mut frames = stream.read_until(|it| text(std::slice::from_ref(it)).contains("t9 ")).await?;
    fleet.workers[1] = fleet.worker().await?;
    fleet.workers[0].terminate()?;
    assert_eq!(fleet.workers[0].exit().await?.code(), Some(0));
    fleet.model.release();
    frames.extend(stream.read_all().await?);
    assert_eq!(text(&frames), said(20));
    assert_eq!(frames.last().map(|it| it.json()["attempt"].clone()), Some(2.into()));
    assert_eq!(fleet.model.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_paused_worker_that_wakes_is_refused_by_the_log() -> Result<()> {
    let mut fleet = Fleet::start().await?;
    fleet.workers[1].kill().await?;
    let client = fleet.client(0)?;
    let mut stream = client.ask("s", &tokens(300, 20)).await?;
    let mut frames =
        stream.read_until(|it| text(std::slice::from_ref(it)).contains("t20 ")).await?;
    fleet.workers[1] = fleet.worker().await?;
    fleet.workers[0].pause()?;
    frames.extend(stream.read_until(|it| it.json()["attempt"] != 1).await?);
    // It has tokens of the old attempt in hand, and a lease that is not its own.
    fleet.workers[0].resume()?;
    frames.extend(stream.read_all().await?);
    assert_eq!(text(&frames), said(300));
    assert_eq!(frames.iter().filter(|it| is_end(it)).count(), 1);
    let stored = fleet.client(1)?.events("s", "start").await?.read_until(is_end).await?;
    assert_eq!(raw(&stored), raw(&frames));
    assert_eq!(fleet.model.calls().len(), 1);
    Ok(())
}
