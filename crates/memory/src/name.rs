//! The id of a memory is made of its user and its words, so that the same thing
//! remembered twice, also at once and in two processes, is one record.

use proto::UserId;
use uuid::Uuid;

/// The id that these words of this user always have (UUID v5).
pub(crate) fn of(user: &UserId, text: &str) -> Uuid {
    let space = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:weir:memory");
    let owner = Uuid::new_v5(&space, user.as_str().as_bytes());
    Uuid::new_v5(&owner, normalised(text).as_bytes())
}

/// The words without what does not change their sense: case, kinds and amounts
/// of space, the mark that ends a sentence.
fn normalised(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ").to_lowercase();
    line.trim_end_matches(['.', '!', '。', '！', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_of_the_same_user_have_one_id() {
        let (ann, bob): (UserId, UserId) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let id = of(&ann, "Likes tea");
        for same in ["likes  tea.", " Likes\n\ttea !", "LIKES TEA"] {
            assert_eq!(of(&ann, same), id, "{same:?}");
        }
        for other in ["Likes tea?", "Likes green tea", "Likestea", "喜欢茶"] {
            assert_ne!(of(&ann, other), id, "{other:?}");
        }
        assert_ne!(of(&bob, "Likes tea"), id);
        assert_eq!(of(&ann, "喜欢茶。"), of(&ann, "喜欢茶"));
    }
}
