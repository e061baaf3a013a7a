//! That the table has every route of the edge's own document, and asks it well.

use std::collections::BTreeSet;

use gateway::Config;
use serde_json::Value;

use super::rows::rows;
use super::stage::Stage;
use crate::harness::Edge;

#[tokio::test]
async fn every_route_of_the_document_has_a_row_and_every_row_a_route() {
    let edge = Edge::start().await;
    let document: Value = edge.get("/openapi.json").send().await.unwrap().json().await.unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if ["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let rows: BTreeSet<_> = rows().iter().map(super::rows::Row::name).collect();
    let forgotten: Vec<_> = routes.difference(&rows).collect();
    assert!(forgotten.is_empty(), "say in rows.rs how these are asked well: {forgotten:?}");
    let gone: Vec<_> = rows.difference(&routes).collect();
    assert!(gone.is_empty(), "the document does not know: {gone:?}");
}

#[tokio::test]
async fn what_the_table_calls_well_is_answered_well() {
    Stage::run(Config::default(), async |stage: &Stage| {
        for row in rows() {
            let answer = stage.send(&row.request()).await;
            if answer.status != row.well {
                stage.wrong(format!("{}: expected {}: {answer:?}", row.name(), row.well));
            }
        }
        assert!(stage.played().len() >= 6, "the routes that ask have asked");
    })
    .await;
}
