//! What becomes of decisions, as tables.

use super::*;

const ASKED: &str = "00000000-0000-7000-8000-000000000001";
const NOW: Duration = Duration::from_secs(1_000);

fn turn(n: u8) -> TurnId {
    format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
}

fn call(id: &str) -> PendingCall {
    let session = Session::parse("u", "s").unwrap();
    let call = PendingCall {
        call_id: id.into(),
        name: "write".into(),
        arguments: r#"{"path":"a"}"#.into(),
        ..PendingCall::default()
    };
    PendingCall { arguments_hash: arguments_hash(&session, turn(1), &call), ..call }
}

fn decision(id: &str, kind: &str) -> Decision {
    let arguments_hash = call(id).arguments_hash;
    Decision { call_id: id.into(), arguments_hash, r#type: kind.into(), ..Decision::default() }
}

fn resume(ids: &[&str]) -> Resume {
    let decisions = ids.iter().map(|it| decision(it, "accept")).collect();
    Resume { turn_id: ASKED.into(), decisions }
}

/// Three calls of the first turn; the second turn has decided `a`.
fn review() -> Review {
    let by_second =
        ReviewDecision { decision: Some(decision("a", "accept")), turn_id: turn(2).to_string() };
    Review {
        version: crate::FORMAT,
        turn_ids: vec![ASKED.into(), turn(2).to_string()],
        calls: vec![call("a"), call("b"), call("c")],
        decided: vec![by_second],
        expires: Some(crate::timestamp(NOW + Duration::from_nanos(1))),
        ..Review::default()
    }
}

fn ids(calls: &[PendingCall]) -> Vec<&str> {
    calls.iter().map(|it| it.call_id.as_str()).collect()
}

#[test]
fn a_hash_binds_every_part_of_a_call_and_the_place_between_them() {
    let (ann, bob) = (Session::parse("ann", "s"), Session::parse("ann", "t"));
    let call = |id: &str, name: &str, arguments: &str| PendingCall {
        call_id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        ..PendingCall::default()
    };
    let mut hashes = vec![
        arguments_hash(&bob.unwrap(), turn(1), &call("c", "n", "{}")),
        arguments_hash(&Session::parse("bob", "s").unwrap(), turn(1), &call("c", "n", "{}")),
    ];
    let ann = ann.unwrap();
    for (asked, call) in [
        (1, call("c", "n", "{}")),
        (2, call("c", "n", "{}")),
        (1, call("d", "n", "{}")),
        (1, call("c", "m", "{}")),
        (1, call("c", "n", "{ }")),
        (1, call("cn", "", "{}")),
        (1, call("", "cn", "{}")),
        (1, call("c", "n{", "}")),
    ] {
        let hash = arguments_hash(&ann, turn(asked), &call);
        let shown = PendingCall { summary: "x".into(), reason: "y".into(), ..call };
        assert_eq!(hash, arguments_hash(&ann, turn(asked), &shown));
        assert!(hash.len() == 64 && hash.bytes().all(|it| it.is_ascii_hexdigit()));
        hashes.push(hash);
    }
    let distinct: BTreeSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len());
}

#[test]
fn decisions_count_in_the_order_of_the_calls_and_leave_the_rest() {
    for (asked, wanted, decided, left) in [
        (1, &["c", "b"][..], &["b", "c"][..], &[][..]),
        (1, &["b"], &["b"], &["c"]),
        (2, &["c"], &["c"], &["b"]),
    ] {
        let resume = Resume { turn_id: turn(asked).to_string().to_uppercase(), ..resume(wanted) };
        let judged = review().judge(turn(3), &resume, NOW).unwrap();
        let calls: Vec<_> = judged.calls.iter().map(|it| it.0.call_id.as_str()).collect();
        assert_eq!((calls.as_slice(), judged.repeated), (decided, false));
        assert_eq!(ids(&judged.after.pending()), left);
        assert_eq!(judged.after.is_open(NOW), !left.is_empty());
    }
}

#[test]
fn a_turn_that_asks_again_finds_its_own_decisions_at_any_time() {
    let mut present = review();
    present.closed = true;
    let again = present.judge(turn(2), &resume(&["a"]), NOW * 2).unwrap();
    assert_eq!((again.calls.len(), again.repeated), (1, true));
    assert_eq!(again.after, present);
    let mut other = resume(&["a"]);
    other.decisions[0].r#type = "reject".into();
    let refused = review().judge(turn(2), &other, NOW).unwrap_err();
    assert_eq!(refused, Refused::Decided("a".into()));
}

#[test]
fn what_does_not_fit_the_review_is_refused_with_the_reason() {
    let check = |expected: Refused, change: fn(&mut Review, &mut Resume)| {
        let (mut review, mut resume) = (review(), resume(&["b", "c"]));
        change(&mut review, &mut resume);
        assert_eq!(review.judge(turn(3), &resume, NOW), Err(expected));
    };
    check(Refused::Unknown, |_, it| it.turn_id = turn(9).to_string());
    check(Refused::Unknown, |review, _| *review = Review::default());
    check(Refused::Closed, |review, _| review.closed = true);
    check(Refused::Expired, |review, _| review.expires = Some(crate::timestamp(NOW)));
    check(Refused::Decided("a".into()), |_, it| it.decisions.push(decision("a", "accept")));
    check(Refused::NoSuchCall("d".into()), |_, it| it.decisions[1].call_id = "d".into());
    check(Refused::Altered("c".into()), |_, it| {
        it.decisions[1].arguments_hash = "0".repeat(64);
    });
    check(Refused::Altered("c".into()), |review, _| review.calls[2].arguments_hash.clear());
    check(Refused::Twice("b".into()), |_, it| it.decisions.push(decision("b", "reject")));
}

#[test]
fn a_review_without_an_end_never_expires() {
    let lasting = Review { expires: None, ..review() };
    assert!(lasting.judge(turn(3), &resume(&["b"]), Duration::from_secs(u64::MAX)).is_ok());
    assert!(lasting.is_open(Duration::MAX));
    assert!(!review().is_open(NOW * 2) && review().is_open(NOW));
}

#[test]
fn a_decision_of_the_wrong_form_is_refused_by_field() {
    let long = "x".repeat(MAX_DECISION_BYTES + 1);
    for (kind, arguments, message, fields) in [
        ("accept", "", "", &[][..]),
        ("edit", r#"{"a":1}"#, "", &[]),
        ("reject", "", "", &[]),
        ("reject", "", "no", &[]),
        ("respond", "", "42", &[]),
        ("", "", "", &["type"]),
        ("Accept", "", "", &["type"]),
        ("accept", "{}", "why", &["arguments", "message"]),
        ("edit", "", "", &["arguments"]),
        ("edit", "[]", "", &["arguments"]),
        ("edit", "{", "", &["arguments"]),
        ("edit", "{}{}", "", &["arguments"]),
        ("edit", "{}", "x", &["message"]),
        ("reject", "{}", "", &["arguments"]),
        ("respond", "", "", &["message"]),
        ("respond", "", long.as_str(), &["message"]),
        ("edit", long.as_str(), "", &["arguments"]),
    ] {
        let (arguments, message) = (arguments.to_owned(), message.to_owned());
        let decision = Decision { arguments, message, ..decision("a", kind) };
        let named: Vec<_> = decision.check().into_iter().map(|it| it.0).collect();
        assert_eq!(named, fields, "{kind}");
    }
}

#[test]
fn a_request_of_the_wrong_form_is_refused_by_field() {
    let check = |expected: &[&str], change: fn(&mut Resume)| {
        let mut resume = resume(&["a", "b"]);
        change(&mut resume);
        let named: Vec<_> = resume.check().into_iter().map(|it| it.0).collect();
        assert_eq!(named, expected);
    };
    check(&[], |_| {});
    check(&["turnId", "decisions"], |it| *it = Resume::default());
    check(&["turnId"], |it| it.turn_id = "7".into());
    check(&["decisions"], |it| it.decisions = vec![decision("a", "accept"); 65]);
    check(&[], |it| it.decisions = vec![decision("a", "accept"); 64]);
    check(&["decisions[1].callId"], |it| it.decisions[1].call_id = "x".repeat(257));
    check(&["decisions[0].argumentsHash"], |it| {
        it.decisions[0].arguments_hash = "X".repeat(64);
    });
    check(&["decisions"], |it| {
        it.decisions = vec![decision("a", "reject"); 5];
        it.decisions.iter_mut().for_each(|it| it.message = "x".repeat(MAX_DECISION_BYTES));
    });
    let mut many = resume(&["a"]);
    many.decisions = vec![Decision::default(); 64];
    assert_eq!(many.check().len(), MAX_NAMED);
}
