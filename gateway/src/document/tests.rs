//! The document against the code and the pages that speak of it.

use std::collections::BTreeSet;

use http::StatusCode;

/// The kinds of refusal as the program has them: codes and statuses.
fn kinds() -> BTreeSet<(String, String)> {
    let source = include_str!("../problem.rs");
    let body = source.split_once("fn parts(self)").unwrap().1;
    let body = body.split_once("/// A request that is not served").unwrap().0;
    let parts: Vec<_> = body.split('"').collect();
    // Outside quotes, inside, outside: a code, then its title, then its status.
    let kinds = parts.chunks(4).filter(|it| it.len() == 4).zip(parts.iter().skip(4).step_by(4));
    kinds.map(|(it, behind)| (it[1].to_owned(), status(behind))).collect()
}

/// The number of the status that is named first.
fn status(text: &str) -> String {
    let (_, name) = text.split_once("S::").unwrap();
    let name = name.split(|it: char| !it.is_ascii_uppercase() && it != '_').next().unwrap();
    let codes = (400..600).filter_map(|it| StatusCode::from_u16(it).ok());
    let mut named = codes.filter(|it| {
        let reason = it.canonical_reason().unwrap_or_default();
        reason.to_ascii_uppercase().replace([' ', '-'], "_") == name
    });
    named.next().expect(name).as_str().to_owned()
}

#[test]
fn the_table_of_refusals_has_every_code_with_its_status() {
    let table = include_str!("../../../docs/api.md").split_once("## Refusals").unwrap().1;
    let rows = table.lines().filter(|it| it.starts_with("| `"));
    let cells = rows.map(|it| it.split('|').map(str::trim).collect::<Vec<_>>());
    let told = cells.map(|it| (it[1].trim_matches('`').to_owned(), it[2].to_owned()));
    let told: BTreeSet<_> = told.collect();
    assert!(told.len() > 30, "{told:?}");
    assert_eq!(told, kinds());
}
