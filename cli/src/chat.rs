//! `weir chat`: a conversation in the terminal.
#![expect(clippy::print_stderr, reason = "a command-line client")]

use std::process::ExitCode;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use uuid::Uuid;

use crate::ask::{Prose, follow};
use crate::client::Client;
use crate::flags::Chat;
use crate::{Ended, banner};

pub(crate) async fn run(flags: Chat) -> Ended {
    let client = Client::new(&flags.peer)?;
    let session = flags.session.unwrap_or_else(|| Uuid::now_v7().to_string());
    eprintln!("session {session}; Ctrl-C stops an answer, Ctrl-D leaves");
    let mut editor = DefaultEditor::new()?;
    loop {
        let (back, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline("> ");
            (editor, line)
        })
        .await?;
        editor = back;
        let question = match line {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error.into()),
        };
        editor.add_history_entry(&question)?;
        let answered = async {
            let turn = client.ask(&session, &question, None).await?;
            follow(&client, &session, turn, &mut Prose::default()).await
        };
        // A question that failed does not end the conversation.
        if let Err(error) = answered.await {
            banner::error(&error);
        }
    }
}
