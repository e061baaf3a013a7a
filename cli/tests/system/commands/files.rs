//! Where a question comes from: the command line, standard input, files.

use anyhow::Result;
use testkit::model::echo;

use super::Stage;

/// The longest question that a gateway takes, in bytes.
const MOST: usize = 256 * 1024;

/// What the model said that it was asked.
fn asked(stdout: &[String]) -> String {
    stdout.join("\n")
}

#[tokio::test]
async fn standard_input_is_the_question_only_where_no_other_is_given() -> Result<()> {
    let stage = Stage::start().await?;
    for arguments in [&["ask"][..], &["ask", "-"], &["ask", "--no-stream", "-"]] {
        let (code, output) = stage.fed(arguments, "Warum?\n帕金森？".as_bytes()).await?;
        assert_eq!(code, Some(0), "{output:?}");
        assert_eq!(asked(&output.stdout), echo("Warum?\n帕金森？", 1), "{arguments:?}");
    }
    let (code, output) = stage.fed(&["ask", "Why?"], b"not this").await?;
    assert_eq!((code, output.stdout), (Some(0), vec![echo("Why?", 1)]));

    for (bytes, ends, expected) in [
        (&b" \n"[..], 2, "there is no question"),
        (&b"ab\xff\xfe"[..], 1, "standard input is not UTF-8 text: byte 3"),
        (&vec![b'x'; MOST + 1][..], 1, "standard input is too long"),
    ] {
        let (code, output) = stage.fed(&["ask"], bytes).await?;
        assert_eq!(code, Some(ends), "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.len() == 1, "{output:?}");
        assert!(output.stderr[0].contains(expected), "{output:?}");
    }
    assert!(stage.json(&["sessions", "--json"]).await?.len() == 4, "a refused one leaves nothing");
    Ok(())
}

#[tokio::test]
async fn files_go_with_the_question_each_under_its_name() -> Result<()> {
    let stage = Stage::start().await?;
    let (one, two) = (stage.file("one.md", b"# One\n")?, stage.file("two.txt", b"``` two")?);
    let attached = ["ask", "--attach", &one, "--attach", "-", "--attach", &two, "Why?"];
    let (code, output) = stage.fed(&attached, b"piped\n").await?;
    assert_eq!(code, Some(0), "{output:?}");
    let expected = "Why?\n\nAttached: one.md\n```\n# One\n```\n\n\nAttached: standard input\n```\n\
                    piped\n```\n\n\nAttached: two.txt\n````\n``` two\n````\n";
    assert_eq!(asked(&output.stdout), echo(expected, 1));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_attached_is_refused_before_anything_is_sent() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.file("image.png", b"\x89PNG\r\n")?;
    let long = stage.file("long.txt", &vec![b'x'; MOST])?;
    let folder = stage.folder.path().display().to_string();
    for (file, expected) in [
        (image.as_str(), "image.png is not UTF-8 text: byte 1"),
        (&long, "a gateway takes 262144"),
        ("/no/such/file", "--attach /no/such/file"),
        (&folder, "--attach"),
    ] {
        let (code, output) = stage.run(&["ask", "--attach", file, "Why?"]).await?;
        assert_eq!(code, Some(1), "{file}: {output:?}");
        assert!(output.stdout.is_empty() && output.stderr.len() == 1, "{output:?}");
        assert!(output.stderr[0].contains(expected), "{output:?}");
    }
    for arguments in [&["ask", "--attach", "-"][..], &["ask", "--attach", "-", "-"]] {
        let (code, output) = stage.fed(arguments, b"piped").await?;
        assert_eq!(code, Some(2), "{output:?}");
        assert!(output.stderr[0].contains("not both"), "{output:?}");
    }
    assert!(stage.json(&["sessions", "--json"]).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_question_of_the_greatest_length_is_taken_and_answered() -> Result<()> {
    let stage = Stage::start().await?;
    let (code, output) = stage.fed(&["ask"], &vec![b'x'; MOST]).await?;
    assert_eq!(code, Some(0), "{:?}", output.stderr);
    assert!(asked(&output.stdout) == echo(&"x".repeat(MOST), 1), "it came whole");
    Ok(())
}
