//! Vectors of texts: the sum of a direction for each word, so that texts with
//! words in common are near each other. Pure, and the same on every machine.
//!
//! Words of one meaning in [`MEANINGS`] share their direction, which stands for
//! what a real model knows. Models of different names have different directions.

/// Words of one meaning. A word beyond ASCII is found inside a text without
/// spaces, the others as words.
const MEANINGS: &[&[&str]] = &[
    &["car", "automobile", "vehicle", "汽车", "轿车"],
    &["buy", "purchase", "购买", "采购"],
    &["doctor", "physician", "医生", "大夫"],
    &["holiday", "vacation", "leave", "假期", "休假"],
    &["error", "failure", "fault", "错误", "故障"],
    &["fast", "quick", "rapid", "快速", "迅速"],
    &["computer", "pc", "电脑", "计算机"],
    &["phone", "telephone", "mobile", "手机", "电话"],
    &["salary", "wage", "pay", "工资", "薪水"],
    &["repair", "fix", "mend", "修理", "维修"],
];

/// Words that say nothing of what a text is about.
const EMPTY: &[&str] = &[
    "the", "a", "an", "and", "or", "of", "to", "in", "on", "for", "with", "is", "are", "was", "be",
    "it", "this", "that", "what", "which", "how", "who", "do", "does", "my", "your", "的", "了",
    "是", "吗", "在", "我", "你", "和", "有", "什", "么", "怎",
];

/// The text's vector, of length 1.
pub(super) fn of(model: &str, text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0_f32; dimensions];
    let mut words = words(text);
    if words.is_empty() {
        words.push(text.to_owned());
    }
    for word in words {
        let mut state = hash(model) ^ hash(&word).rotate_left(17);
        for number in &mut sum {
            state = next(state);
            *number += if mixed(state) & 1 == 0 { 1.0 } else { -1.0 };
        }
    }
    let length = sum.iter().map(|it| it * it).sum::<f32>().sqrt();
    if length > 0.0 {
        for number in &mut sum {
            *number /= length;
        }
    }
    sum
}

/// What a text is about: its words, those with a known meaning under the first
/// word of that.
fn words(text: &str) -> Vec<String> {
    let mut text = text.to_lowercase();
    for meaning in MEANINGS {
        for word in meaning.iter().filter(|it| !it.is_ascii()) {
            text = text.replace(word, &format!(" {} ", meaning[0]));
        }
    }
    let mut words = Vec::new();
    for piece in text.split(|it: char| !it.is_alphanumeric()) {
        let mut rest = piece;
        while let Some(first) = rest.chars().next() {
            let end = if first.is_ascii() {
                rest.find(|it: char| !it.is_ascii()).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let (word, more) = rest.split_at(end);
            rest = more;
            if !EMPTY.contains(&word) {
                words.push(meant(word).to_owned());
            }
        }
    }
    words
}

fn meant(word: &str) -> &str {
    let one = word.strip_suffix('s').filter(|it| it.len() > 2).unwrap_or(word);
    let meaning = MEANINGS.iter().find(|it| it.contains(&word) || it.contains(&one));
    meaning.map_or(one, |it| it[0])
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// `SplitMix64`: the next state, and what it says.
fn next(state: u64) -> u64 {
    state.wrapping_add(0x9e37_79b9_7f4a_7c15)
}

fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: &str, two: &str) -> f32 {
        let (one, two) = (of("embed", one, 64), of("embed", two, 64));
        one.iter().zip(&two).map(|(one, two)| one * two).sum()
    }

    #[test]
    fn meaning_is_found_where_words_differ() {
        assert!(near("car", "automobile") > 0.99);
        assert!(near("汽车", "轿车") > 0.99);
        let far = near("My automobile needs a repair", "the weather in Hangzhou tomorrow");
        assert!(near("My automobile needs a repair", "Who can fix cars?") > far + 0.3);
        assert!(
            near("我的轿车坏了", "维修汽车要多久") > near("我的轿车坏了", "杭州明天下雨") + 0.2
        );
    }

    #[test]
    fn a_vector_has_length_one_and_models_do_not_agree() {
        for text in ["car", "!", "the", "天气", &"long ".repeat(10_000)] {
            let vector = of("embed", text, 64);
            let length: f32 = vector.iter().map(|it| it * it).sum();
            assert!((length - 1.0).abs() < 1e-3, "{text}: {length}");
        }
        assert_ne!(of("embed", "car", 64), of("embed-2", "car", 64));
        assert_eq!(of("embed", "car", 64), of("embed", "car", 64));
    }
}
