//! How often a search finds the passage that answers, on the labelled set:
//! `cargo run -p knowledge --example recall`.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "../tests/labelled/set.rs"]
#[expect(unreachable_pub, dead_code, reason = "shared with a test")]
mod set;

#[tokio::main]
async fn main() {
    let tallies = set::ask().await;
    println!("| language | questions | recall@1 | recall@3 | MRR | silent where nothing answers |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for tally in &tallies {
        println!("{tally}");
    }
    println!("\nnot among the first three:");
    for missed in tallies.iter().flat_map(|it| &it.missed) {
        println!("- {missed}");
    }
}
