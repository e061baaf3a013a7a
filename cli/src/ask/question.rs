//! The words of a question: from the command line or standard input, with the
//! files that go with it. Refuses what is no text, what is empty, and what is
//! longer than a gateway takes; reads standard input only where it was asked for.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::ending::Misused;
use crate::input::{self, MOST, STDIN};
use crate::plain;

/// The question with its attachments.
pub(super) fn read(given: Option<String>, attached: &[PathBuf]) -> anyhow::Result<String> {
    let given = given.filter(|it| it != STDIN);
    let streams = attached.iter().filter(|it| is_stdin(it)).count();
    if streams + usize::from(given.is_none()) > 1 {
        let why = "standard input can be the question or one attachment, not both: give the \
                   question as an argument";
        return Err(Misused(why.to_owned()).into());
    }
    let mut question = match given {
        Some(text) => text,
        None => input::stdin("the question")?,
    };
    if question.trim().is_empty() {
        return Err(Misused("there is no question".to_owned()).into());
    }
    for file in attached {
        let (name, text) = attachment(file)?;
        question += &block(&name, &text);
        fits(question.len())?;
    }
    fits(question.len())?;
    Ok(question)
}

fn fits(bytes: usize) -> anyhow::Result<()> {
    ensure!(
        bytes <= MOST,
        "the question has {bytes} bytes, with what is attached to it; a gateway takes {MOST}"
    );
    Ok(())
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == STDIN
}

/// An attachment's name and its text.
fn attachment(file: &Path) -> anyhow::Result<(String, String)> {
    if is_stdin(file) {
        return Ok(("standard input".to_owned(), input::stdin("the attachment")?));
    }
    let shown = file.display();
    let opened = std::fs::File::open(file).with_context(|| format!("--attach {shown}"))?;
    let text = input::text(opened, &format!("--attach {shown}"))?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    Ok((plain::line(&name), text))
}

/// A text behind a question.
fn block(name: &str, text: &str) -> String {
    format!("\n\nAttached: {name}\n{}", input::fenced(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_stands_behind_the_question_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (one, two) = (file("one.md", b"a\n"), file("two\n.md", "```\nb".as_bytes()));
        let question = read(Some("Why?".to_owned()), &[one, two]).unwrap();
        let expected = "Why?\n\nAttached: one.md\n```\na\n```\n\
                        \n\nAttached: two\\n.md\n````\n```\nb\n````\n";
        assert_eq!(question, expected);
        let asked = |path: PathBuf| read(Some("Why?".to_owned()), &[path]);
        let error = asked(file("image", b"ab\xff")).unwrap_err().to_string();
        assert!(error.contains("image is not UTF-8 text: byte 3"), "{error}");
        let error = asked(folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("--attach") && error.contains("none"), "{error}");
        assert!(asked(folder.path().to_owned()).is_err());
    }

    #[test]
    fn a_question_fits_to_the_last_byte_and_not_one_more() {
        let most = "x".repeat(MOST);
        assert_eq!(read(Some(most.clone()), &[]).unwrap(), most);
        let error = read(Some(most + "x"), &[]).unwrap_err().to_string();
        assert!(error.contains("262145 bytes") && error.contains("262144"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let around = "Why?".len() + block("a", "\n").len() - 1;
        std::fs::write(&file, "y".repeat(MOST - around - 1) + "\n").unwrap();
        let fits = read(Some("Why?".to_owned()), std::slice::from_ref(&file)).unwrap();
        assert_eq!(fits.len(), MOST);
        assert!(read(Some("Why??".to_owned()), &[file]).is_err());
    }

    #[test]
    fn standard_input_is_one_thing_at_a_time_and_nothing_is_no_question() {
        let dash = || PathBuf::from(STDIN);
        for (given, attached) in
            [(None, vec![dash()]), (Some("-"), vec![dash()]), (Some("Why?"), vec![dash(), dash()])]
        {
            let error = read(given.map(str::to_owned), &attached).unwrap_err();
            assert!(error.is::<Misused>(), "{error}");
        }
        for empty in ["", " \n"] {
            let error = read(Some(empty.to_owned()), &[]).unwrap_err();
            assert!(error.is::<Misused>(), "{error}");
        }
    }
}
