//! What is kept of a session beside its log: its title, its times, and the
//! beginnings of what was last said.

use broker::{Bucket, Error, Key, Record};
use prost::Message as _;
use proto::Timestamp;
use proto::{FORMAT, Job, Session, SessionRecord};
use serde::Serialize;
use utoipa::ToSchema;

use crate::edge::Edge;

/// The title and the question of a session whose first question still waits, in
/// bytes at most.
const TITLE_BYTES: usize = 80;
const QUESTION_BYTES: usize = 400;

/// The record of a session, with its revision.
pub(crate) async fn of(
    edge: &Edge,
    session: &Session,
) -> Result<Option<(SessionRecord, u64)>, Error> {
    let found = edge.broker.records.get(Bucket::Sessions, &Key::session(session)).await?;
    found.map(|it| Ok((decode(&it)?, it.revision))).transpose()
}

/// Reads a record.
pub(crate) fn decode(record: &Record) -> Result<SessionRecord, Error> {
    let corrupt = |what: &str| Error::Corrupt(format!("a session's record: {what}"));
    let read = SessionRecord::decode(record.value.clone());
    let read = read.map_err(|error| corrupt(&error.to_string()))?;
    if read.version > FORMAT {
        return Err(corrupt("of a newer format"));
    }
    Ok(read)
}

/// What a record will say of a session of which there is only this job yet.
pub(crate) fn of_job(job: &Job) -> SessionRecord {
    let question = job.messages.last().map(|it| it.content.as_str()).unwrap_or_default();
    SessionRecord {
        version: FORMAT,
        title: beginning(question, TITLE_BYTES),
        created: job.submitted,
        updated: job.submitted,
        turn_id: job.turn_id.clone(),
        question: beginning(question, QUESTION_BYTES),
        ..SessionRecord::default()
    }
}

/// The first words of a text, on one line.
fn beginning(text: &str, most: usize) -> String {
    let mut line = String::new();
    for word in text.split(|it: char| it.is_whitespace() || it.is_control()) {
        if line.len() >= most {
            break;
        }
        if !line.is_empty() && !word.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line.truncate(line.floor_char_boundary(most));
    line.truncate(line.trim_end().len());
    line
}

/// A record as clients are told it.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Described {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
    /// The beginning of the last question.
    #[serde(skip_serializing_if = "String::is_empty")]
    last_question: String,
    /// The beginning of the last answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    last_answer: String,
}

impl From<SessionRecord> for Described {
    fn from(record: SessionRecord) -> Self {
        Self {
            title: record.title,
            created_at: record.created,
            updated_at: record.updated,
            last_question: record.question,
            last_answer: record.answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_whole_characters() {
        for (text, title) in [
            ("", ""),
            (" Why \n\n is\tthat?\u{7} ", "Why is that?"),
            (&"长".repeat(100), "长".repeat(26).as_str()),
            (&"word ".repeat(40), "word ".repeat(16).as_str()),
        ] {
            let line = beginning(text, TITLE_BYTES);
            assert_eq!(line, title.trim_end(), "{text:?}");
            assert!(line.len() <= TITLE_BYTES);
        }
    }

    #[test]
    fn a_record_of_a_newer_format_is_not_guessed_at() {
        let newer = SessionRecord { version: FORMAT + 1, ..SessionRecord::default() };
        let record = |value: Vec<u8>| Record { value: value.into(), revision: 1 };
        assert!(decode(&record(newer.encode_to_vec())).is_err());
        assert!(decode(&record(vec![0xff; 9])).is_err());
        assert!(decode(&record(SessionRecord::default().encode_to_vec())).is_ok());
    }
}
