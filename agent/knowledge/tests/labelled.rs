//! The labelled set is answered at least nearly as well as when this was written.

#[path = "labelled/set.rs"]
#[expect(unreachable_pub, reason = "shared with an example")]
mod set;

/// Recall among the first one and three, and mean reciprocal rank.
const ENGLISH: [f64; 3] = [0.54, 0.72, 0.63];
const CHINESE: [f64; 3] = [0.63, 0.89, 0.76];

#[tokio::test]
async fn the_passage_that_answers_is_mostly_among_the_first_three() {
    for (tally, floors) in set::ask().await.iter().zip([ENGLISH, CHINESE]) {
        assert!(tally.questions() >= 30, "{tally}");
        let reached = [tally.recall(1), tally.recall(3), tally.rank()];
        let enough = reached.iter().zip(&floors).all(|(reached, floor)| reached >= floor);
        assert!(enough, "{tally} {:?}", tally.missed);
        assert!(tally.silence() >= 0.25, "{tally}");
    }
}
