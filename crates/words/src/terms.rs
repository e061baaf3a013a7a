//! How text becomes search terms, the same way for passages and questions.
//!
//! Chinese is cut by dictionary, everything else at what is no letter or digit;
//! then lower case, English stems, and no words that only hold a sentence
//! together.

use std::collections::{HashMap, HashSet};
use std::fmt;

use tantivy::tokenizer::{
    Language, LowerCaser, Stemmer, StopWordFilter, TextAnalyzer, Token, TokenStream, Tokenizer,
};
use tantivy_jieba::JiebaTokenizer;

use crate::script::is_han;

/// Words that say nothing about what a text is about.
const STOPWORDS: &str = "\
a about after all also am an and any are as at be because been before being but by can could did do
does doing done else even ever for from get gets give go had has have having he hello her here hi him
his how i if in into is it its just know let like make many may me might more most much must my need
no nor not now of off on once only or other our out over own please same say shall she should show so
some something such tell than thank thanks that the their them then there these they thing things this
those through to too under until up us use used using very via want was way we were what when where
whether which while who whom whose why will with would yes you your yours s t re ve ll d m don doesn
的 了 是 在 有 和 与 或 及 吗 呢 吧 啊 呀 么 我 你 您 他 她 它 我们 你们 他们 它们 这 那 这个 那个 这些 那些
这里 那里 什么 怎么 怎样 怎么样 如何 哪 哪些 哪个 哪里 哪种 谁 几 多少 为什么 为何 是否 可以 能 能够 会 要 想
应该 需要 请 请问 请教 告诉 介绍 一下 一个 一些 一种 有没有 有哪些 是什么 什么样 就 都 也 还 又 再 很 更 最
把 被 让 给 对 对于 关于 从 到 向 于 以 以及 等 等等 个 种 上 下 中 里 时 时候 后 前 以后 以前 之后 之前 不 没 没有 着 过 得 地 而
但 但是 因为 所以 如果 则 那么 使用 用 进行 通过 之 其 并 并且 只 才 做 说 讲 去 来 么样 办 情况 东西 谢谢 你好";

/// How finely Chinese is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Words, as people ask.
    Words,
    /// Words and each of their characters, so that a question's lone character
    /// finds the words it is part of.
    Characters,
}

/// Cuts questions, and the texts that may answer them, into terms.
#[derive(Clone)]
pub struct Terms {
    words: TextAnalyzer,
    characters: TextAnalyzer,
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").finish_non_exhaustive()
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new()
    }
}

impl Terms {
    /// Cheap; the dictionary is read once in a process, at the first Chinese text,
    /// which takes some tens of milliseconds.
    pub fn new() -> Self {
        Self { words: analyzer(Grain::Words), characters: analyzer(Grain::Characters) }
    }

    /// The terms of a question, in order, with repetitions.
    pub fn asked(&mut self, question: &str) -> Vec<String> {
        let mut terms = Vec::new();
        let mut stream = self.words.token_stream(question);
        while let Some(token) = stream.next() {
            terms.push(token.text.clone());
        }
        terms
    }

    /// Everything that a text can be found by.
    pub fn said(&mut self, text: &str) -> HashSet<String> {
        self.counted(text).into_keys().collect()
    }

    /// Everything that a text can be found by, and how often it is there: Chinese
    /// by its words and by each of their characters.
    pub fn counted(&mut self, text: &str) -> HashMap<String, u32> {
        let mut terms = HashMap::new();
        let mut stream = self.characters.token_stream(text);
        while let Some(token) = stream.next() {
            match terms.get_mut(&token.text) {
                Some(count) => *count += 1,
                None => drop(terms.insert(token.text.clone(), 1)),
            }
        }
        terms
    }
}

/// The analyzer of questions, or of what they search.
pub fn analyzer(grain: Grain) -> TextAnalyzer {
    let stopwords = STOPWORDS.split_whitespace().map(str::to_owned);
    let words = Words { chinese: JiebaTokenizer::new(), grain };
    TextAnalyzer::builder(words)
        .filter(LowerCaser)
        .filter(StopWordFilter::remove(stopwords))
        .filter(Stemmer::new(Language::English))
        .build()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Han,
    Letter,
    Between,
}

fn class(c: char) -> Class {
    if is_han(c) {
        Class::Han
    } else if c.is_alphanumeric() {
        Class::Letter
    } else {
        Class::Between
    }
}

#[derive(Clone)]
struct Words {
    chinese: JiebaTokenizer,
    grain: Grain,
}

impl Tokenizer for Words {
    type TokenStream<'a> = Tokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens {
        let mut tokens = Tokens::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let kind = class(first);
            let end = rest.find(|c| class(c) != kind).unwrap_or(rest.len());
            let (run, more) = rest.split_at(end);
            let from = text.len() - rest.len();
            match kind {
                Class::Between => {}
                Class::Letter => tokens.add(run, from),
                Class::Han => {
                    let mut words = self.chinese.token_stream(run);
                    while let Some(word) = words.next() {
                        tokens.add(&word.text, from + word.offset_from);
                    }
                    if self.grain == Grain::Characters {
                        tokens.add_characters(run, from);
                    }
                }
            }
            rest = more;
        }
        tokens
    }
}

#[derive(Debug, Default)]
struct Tokens {
    tokens: Vec<Token>,
    /// How many were given out.
    given: usize,
}

impl Tokens {
    fn add(&mut self, text: &str, offset_from: usize) {
        self.tokens.push(Token {
            offset_from,
            offset_to: offset_from + text.len(),
            position: self.tokens.len(),
            text: text.to_owned(),
            position_length: 1,
        });
    }

    fn add_characters(&mut self, run: &str, from: usize) {
        for (at, c) in run.char_indices() {
            self.add(&run[at..at + c.len_utf8()], from + at);
        }
    }
}

impl TokenStream for Tokens {
    fn advance(&mut self) -> bool {
        let more = self.given < self.tokens.len();
        self.given += usize::from(more);
        more
    }

    fn token(&self) -> &Token {
        &self.tokens[self.given.saturating_sub(1)]
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.tokens[self.given.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_become_the_terms_of_the_texts_that_answer_them() {
        let mut terms = Terms::new();
        for (text, want) in [
            ("How do streams resume?", "stream resum"),
            ("A resumed stream", "resum stream"),
            ("`Last-Event-ID`", "last event id"),
            ("What is it?", ""),
            ("有哪些?", ""),
            ("Weir 是什么?", "weir"),
            ("消息确认", "消息 确认"),
            ("确认消息UTF-8", "确认 消息 utf 8"),
            ("帕金森的治疗方案有哪些?", "帕金森 治疗 方案"),
        ] {
            assert_eq!(terms.asked(text).join(" "), want, "{text}");
        }
    }

    #[test]
    fn a_text_is_found_by_its_words_and_their_characters_each_counted() {
        let mut terms = Terms::new();
        for (text, want) in [
            ("A stream of streams", "stream=2"),
            ("小狗喜欢狗", "喜=1 喜欢=1 小=1 小狗=1 欢=1 狗=3"),
            ("的 of ?", ""),
            ("", ""),
        ] {
            let mut counted: Vec<_> = terms.counted(text).into_iter().collect();
            counted.sort();
            let counted: Vec<_> = counted.iter().map(|(it, many)| format!("{it}={many}")).collect();
            assert_eq!(counted.join(" "), want, "{text}");
            assert_eq!(terms.said(text).len(), counted.len(), "{text}");
        }
    }
}
