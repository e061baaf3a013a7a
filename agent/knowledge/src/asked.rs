//! What a question is about and what kind of answer it wants. Pure.

use std::collections::{HashMap, HashSet};

use words::Terms;

/// A question, as far as its answer depends on it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Its terms, and what each of them is worth.
    pub(crate) worth: HashMap<String, f32>,
    /// Whether it is in Chinese.
    pub(crate) chinese: bool,
    pub(crate) aim: Aim,
}

impl Asked {
    /// What a text with these terms says of the question: 0 for nothing, 1 for
    /// all of it.
    pub(crate) fn covered(&self, terms: &HashSet<String>) -> f32 {
        let mine = self.worth.iter().filter(|(term, _)| terms.contains(*term));
        let mine: f32 = mine.map(|(_, worth)| worth).sum();
        mine / self.worth.values().sum::<f32>()
    }

    /// Whether a sentence begins by saying what one of the terms is.
    pub(crate) fn is_defined_by(&self, sentence: &str, terms: &mut Terms) -> bool {
        let marks = [" is a ", " is an ", " is the ", " are ", " means ", "是", "指"];
        let found = marks.iter().filter_map(|mark| sentence.find(mark)).min();
        found.is_some_and(|at| {
            let subject = terms.asked(&sentence[..at]);
            (1..=2).contains(&subject.len()) && subject.iter().all(|it| self.worth.contains_key(it))
        })
    }
}

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
        let long = "What is the limit of turns that run at once?";
        assert_eq!(Aim::of(long, 5), Aim::Other);
    }

    #[test]
    fn a_definition_says_what_its_subject_is() {
        let asked = Asked {
            worth: HashMap::from([("weir".to_owned(), 1.0)]),
            chinese: false,
            aim: Aim::Definition,
        };
        let mut terms = Terms::new();
        for (sentence, defines) in [
            ("Weir is a system for answers.", true),
            ("Weir 是一个系统。", true),
            ("Weir keeps what is a secret.", false),
            ("A gateway is a process of Weir.", false),
            ("Start Weir.", false),
        ] {
            let defined = asked.is_defined_by(sentence, &mut terms);
            assert_eq!(defined, defines, "{sentence}");
        }
    }
}
