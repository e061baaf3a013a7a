//! What kind of answer a question wants, as far as its words tell. Pure.

/// What a question wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// What something is.
    Definition,
    /// How something is done.
    Way,
    Other,
}

impl Aim {
    /// The aim of a question that is about so many terms.
    pub(crate) fn of(question: &str, terms: usize) -> Self {
        let question = question.trim().to_lowercase();
        let begins = |words: &[&str]| words.iter().any(|it| question.starts_with(it));
        let holds = |words: &[&str]| words.iter().any(|it| question.contains(it));
        let what = begins(&["what is ", "what are ", "what's ", "define ", "什么是"])
            || holds(&["是什么", "什么意思", "是啥"]);
        if what && terms <= 3 {
            return Self::Definition;
        }
        if begins(&["how "]) || holds(&[" how to ", "怎么", "怎样", "如何"]) {
            return Self::Way;
        }
        Self::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_tells_what_it_wants_to_hear() {
        for (question, aim) in [
            ("What is Weir?", Aim::Definition),
            ("Weir 是什么?", Aim::Definition),
            ("How do I stop it?", Aim::Way),
            ("怎么扩展 worker?", Aim::Way),
            ("Who wrote it?", Aim::Other),
        ] {
            assert_eq!(Aim::of(question, 1), aim, "{question}");
        }
        assert_eq!(
            Aim::of("What is the limit of turns that run at once?", 5),
            Aim::Other
        );
    }
}
