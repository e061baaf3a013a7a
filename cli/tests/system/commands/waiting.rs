//! Gateways that do not answer, are none, or have a password in their URL.

use std::net::TcpListener;

use anyhow::Result;
use testkit::process::Weir;

use crate::stage::weir;

/// What no output may hold.
const CANARY: &str = "canary-of-the-client";

#[tokio::test]
async fn a_mute_gateway_is_waited_for_with_a_word_and_left_by_ctrl_c() -> Result<()> {
    let mute = TcpListener::bind("127.0.0.1:0")?;
    let place = mute.local_addr()?;
    let server = format!("http://me:{CANARY}@{place}");
    for form in ["--stream", "--no-stream"] {
        let asked = ["ask", form, "--server", &server, "--session", "mine", "Why?"];
        let mut asking = Weir::spawn(weir(&asked))?;
        let waiting = format!("[waiting for http://{place}…]");
        asking.wait_for("a word", |it| it.stderr.contains(&waiting)).await?;
        asking.interrupt()?;
        assert_eq!(asking.exit().await?.code(), Some(130), "{form}");
        let told = asking.output();
        let last = told.stderr.last().map(String::as_str).unwrap_or_default();
        assert!(last.contains("may have been accepted: weir sessions show mine"), "{told:?}");
        assert!(!format!("{told:?}").contains(CANARY), "{told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_url_of_http_is_refused_before_anything_is_done() -> Result<()> {
    let ftp = format!("ftp://me:{CANARY}@127.0.0.1:1");
    for server in [ftp.as_str(), "notaurl", ""] {
        for command in [&["ask", "Why?"][..], &["sessions"], &["status"], &["decide", "s"]] {
            let (code, output) =
                Weir::run(weir(&[command, &["--server", server]].concat())).await?;
            assert_eq!(code, Some(2), "{server} {command:?}: {output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
            assert!(!format!("{output:?}").contains(CANARY), "{output:?}");
        }
    }
    let twice = ["decide", "s", "--accept", "a", "--reject", "a"];
    for wrong in [&["ask", " "][..], &twice] {
        let (code, output) = Weir::run(weir(wrong)).await?;
        assert_eq!((code, output.stdout.len()), (Some(2), 0), "{wrong:?}: {output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_gateways_password_is_shown_by_no_error() -> Result<()> {
    let server = format!("http://me:{CANARY}@127.0.0.1:1/?key={CANARY}");
    for command in
        [&["ask", "Why?"][..], &["sessions"], &["memory", "list"], &["cancel", "s"], &["status"]]
    {
        let (code, output) = Weir::run(weir(&[command, &["--server", &server]].concat())).await?;
        assert_eq!(code, Some(1), "{command:?}: {output:?}");
        assert!(output.stderr.concat().contains("http://127.0.0.1:1"), "{output:?}");
        assert!(!format!("{output:?}").contains(CANARY), "{output:?}");
    }
    Ok(())
}
