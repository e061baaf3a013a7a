//! tmp
use serde_json::{Value, json};
use tool::{Effect, Spec, arguments};
fn spec(p: Value) -> Spec { Spec { name: "t".into(), description: String::new(), parameters: p, effect: Effect::Reads } }
fn doubling(n: usize, any: bool) -> Value {
    let mut defs = serde_json::Map::new();
    for i in 0..n {
        let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
        let next2 = json!({"properties": {}, "allOf": [{"$ref": format!("#/$defs/d{}", i + 1)}]});
        defs.insert(format!("d{i}"), if any { json!({"anyOf": [next, next2]}) } else { json!({"allOf": [next, next2]}) });
    }
    defs.insert(format!("d{n}"), if any { json!({"type": "string"}) } else { json!({}) });
    json!({"type": "object", "allOf": [{"$ref": "#/$defs/d0"}], "$defs": defs})
}
#[test]
fn recursive() {
    for p in [json!({"type":"object","$ref":"#"}), json!({"type":"object","allOf":[{"$ref":"#"}]}), json!({"type":"object","$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}), json!({"type":"object","not":{"$ref":"#"}}), json!({"type":"object","$dynamicRef":"#"})] {
        let t = std::time::Instant::now();
        eprintln!("try {p}");
        eprintln!("{:?} {:?}", arguments(&spec(p), "{}"), t.elapsed());
    }
}
#[test]
fn doubled() {
    for any in [false, true] { for n in [8, 12, 16, 18] {
        let p = doubling(n, any);
        let s = spec(p.clone());
        let t = std::time::Instant::now();
        let r = arguments(&s, "{}").is_ok();
        let first = t.elapsed();
        let t = std::time::Instant::now();
        let r2 = arguments(&s, "{}").is_ok();
        eprintln!("{any} n {n} bytes {} {r} {r2} first {first:?} again {:?}", p.to_string().len(), t.elapsed());
    } }
}
#[test]
fn patterns() {
    for (pat, text) in [("(?:(?:a{100}){100}){100}", "a".to_owned()), ("^(a+)+$", "a".repeat(100_000) + "b"), ("(?=a)(a+)+$", "a".repeat(200_000) + "b"), ("(.*)(?!x)\\1y", "ab".repeat(100_000))] {
        let p = json!({"type":"object","properties":{"a":{"type":"string","pattern":pat}}});
        let t = std::time::Instant::now();
        let r = arguments(&spec(p), &json!({"a": text}).to_string());
        eprintln!("{pat}: {:?} {:?}", r.map(|_| ()), t.elapsed());
    }
    let u = json!({"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}});
    let items: Vec<_> = (0..40000).map(|i| json!({"a": i})).take(15000).collect();
    let t = std::time::Instant::now();
    let r = arguments(&spec(u), &json!({"a": items}).to_string());
    eprintln!("unique: {:?} {:?}", r.map(|_| ()), t.elapsed());
}
#[test]
fn many_patterns() {
    let props: serde_json::Map<String, Value> = (0..1500).map(|i| (format!("p{i}"), json!({"pattern": format!("\\w{{90}}{i}")}))).collect();
    let p = json!({"type":"object","properties":props});
    let n = p.to_string().len();
    let t = std::time::Instant::now();
    let r = arguments(&spec(p), "{}");
    eprintln!("many {n} bytes: {:?} {:?}", r.map(|_| ()), t.elapsed());
}
