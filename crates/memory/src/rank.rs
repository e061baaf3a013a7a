//! Which memories answer a query, best first: by words (BM25, Robertson and
//! Zaragoza 2009), by meaning, and both as one (reciprocal rank fusion, Cormack
//! et al. 2009). Pure.

use std::collections::HashMap;

use words::{Terms, is_han};

/// How soon a repeated term stops counting, and how much a text's length does.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// What a character of a longer Chinese word of the query counts, beside the
/// word.
const CHARACTER: f64 = 0.25;
/// How little the first places count more than the next.
const FUSION: f64 = 60.0;
/// So many are near by meaning; everything is, a little.
const NEAREST: usize = 50;

/// The texts that share terms with the query.
pub(crate) fn by_words(terms: &mut Terms, query: &str, texts: &[&str]) -> Vec<usize> {
    let wanted = wanted(terms, query);
    if wanted.is_empty() {
        return Vec::new();
    }
    let counted: Vec<_> = texts.iter().map(|it| terms.counted(it)).collect();
    let lengths: Vec<f64> =
        counted.iter().map(|it| it.values().copied().map(f64::from).sum()).collect();
    let many = number(texts.len());
    let average = (lengths.iter().sum::<f64>() / many.max(1.0)).max(1.0);
    let mut scores = vec![0.0; texts.len()];
    for (term, weight) in &wanted {
        let holders = number(counted.iter().filter(|it| it.contains_key(term)).count());
        let rarity = (1.0 + (many - holders + 0.5) / (holders + 0.5)).ln();
        for (at, counts) in counted.iter().enumerate() {
            let times = f64::from(counts.get(term).copied().unwrap_or_default());
            let length = K1 * (1.0 - B + B * lengths[at] / average);
            scores[at] += weight * rarity * times * (K1 + 1.0) / (times + length);
        }
    }
    best_first(scores)
}

/// The terms of a query with what each counts.
fn wanted(terms: &mut Terms, query: &str) -> HashMap<String, f64> {
    let mut wanted = HashMap::new();
    for term in terms.asked(query) {
        if term.chars().all(is_han) && term.chars().count() > 1 {
            for c in term.chars() {
                wanted.entry(c.to_string()).or_insert(CHARACTER);
            }
        }
        wanted.insert(term, 1.0);
    }
    wanted
}

/// The vectors that point where the query's does.
pub(crate) fn by_meaning<'a>(
    query: &[f32],
    vectors: impl Iterator<Item = Option<&'a [f32]>>,
) -> Vec<usize> {
    let nearness = vectors.map(|it| it.map_or(0.0, |it| cosine(query, it)));
    let mut nearest = best_first(nearness.collect());
    nearest.truncate(NEAREST);
    nearest
}

/// Between -1 and 1; 0 for vectors that do not compare.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

/// Several rankings as one, each place with its score.
pub(crate) fn fused(rankings: &[Vec<usize>]) -> Vec<(usize, f64)> {
    let mut scores = HashMap::new();
    for ranking in rankings {
        for (place, at) in ranking.iter().enumerate() {
            *scores.entry(*at).or_default() += 1.0 / (FUSION + 1.0 + number(place));
        }
    }
    let mut fused: Vec<(usize, f64)> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused
}

/// Those that score at all; of equals the first.
fn best_first(scores: Vec<f64>) -> Vec<usize> {
    let mut places: Vec<_> = scores.into_iter().enumerate().filter(|it| it.1 > 0.0).collect();
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    places.into_iter().map(|it| it.0).collect()
}

/// What of these sizes is taken into a budget: of everything, if it fits, the
/// matches first; else matches into three quarters of it, then whatever comes
/// first of the rest, and what is too large is passed over.
pub(crate) fn within(budget: usize, sizes: &[usize], matches: &[usize]) -> Vec<usize> {
    let whole = sizes.iter().sum::<usize>() <= budget;
    let mut taken = vec![false; sizes.len()];
    let mut chosen = Vec::new();
    let mut room = budget;
    let mut take = |candidates: &mut dyn Iterator<Item = usize>, kept_free: usize| {
        for at in candidates {
            if !taken[at] && sizes[at] + kept_free <= room {
                room -= sizes[at];
                taken[at] = true;
                chosen.push(at);
            }
        }
    };
    take(&mut matches.iter().copied(), if whole { 0 } else { budget / 4 });
    take(&mut (0..sizes.len()), 0);
    chosen
}

fn number(it: usize) -> f64 {
    f64::from(u32::try_from(it).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_found_by_words_and_characters_in_both_languages() {
        let texts = [
            "The user's name is Ann",
            "Ann prefers answers in Chinese",
            "Her dog is called Rex; the dog barks",
            "用户养了一只小狗,叫做旺财",
            "用户住在上海,喜欢喝绿茶",
            "用户对花生过敏",
            "Works as a nurse in a hospital in Leeds",
        ];
        let mut terms = Terms::new();
        for (query, want) in [
            ("What was my dog's name again?", &[2, 0][..]),
            ("我的狗叫什么?", &[3]),
            ("小狗", &[3]),
            ("推荐一家上海的茶馆", &[4, 3]),
            ("我能吃花生酱吗?", &[5]),
            ("hospitals", &[6]),
            ("answering in which language: Chinese?", &[1]),
            ("what is it?", &[]),
            ("quantum", &[]),
            ("", &[]),
        ] {
            let found = by_words(&mut terms, query, &texts);
            assert_eq!(found, want, "{query}");
        }
    }

    #[test]
    fn a_rarer_word_counts_more_and_a_word_more_than_its_characters() {
        let mut terms = Terms::new();
        let texts = ["tea and milk", "tea", "tea or juice", "milk"];
        assert_eq!(by_words(&mut terms, "tea milk", &texts)[0], 0);
        let texts = ["花开了,人生", "花生"];
        assert_eq!(by_words(&mut terms, "花生", &texts), [1, 0]);
    }

    #[test]
    fn vectors_that_do_not_compare_are_not_near() {
        let query = [1.0, 0.0];
        let vectors: [Option<&[f32]>; 6] = [
            None,
            Some(&[0.0, 0.0]),
            Some(&[-1.0, 0.0]),
            Some(&[1.0, 1.0]),
            Some(&[1.0]),
            Some(&[9.0, 0.0]),
        ];
        assert_eq!(by_meaning(&query, vectors.into_iter()), [5, 3]);
    }

    #[test]
    fn what_both_rankings_find_comes_first() {
        let order: Vec<_> =
            fused(&[vec![0, 1, 2], vec![3, 2]]).into_iter().map(|it| it.0).collect();
        assert_eq!(order, [2, 0, 3, 1]);
        assert_eq!(fused(&[vec![], vec![]]), []);
    }

    #[test]
    fn a_budget_is_filled_with_matches_and_then_with_the_first_of_the_rest() {
        let sizes = [10, 10, 10, 10, 10, 50];
        for (budget, matches, want) in [
            (0, &[1][..], &[][..]),
            (9, &[1], &[]),
            // Everything fits.
            (100, &[5, 3], &[5, 3, 0, 1, 2, 4]),
            // Room is kept for one that does not match.
            (40, &[4, 3, 2, 1], &[4, 3, 2, 0]),
            (40, &[], &[0, 1, 2, 3]),
            // The large one does not fit beside what is kept free, but alone.
            (60, &[5], &[0, 1, 2, 3, 4]),
            (80, &[5], &[5, 0, 1, 2]),
        ] {
            assert_eq!(within(budget, &sizes, matches), want, "{budget} {matches:?}");
        }
    }
}
