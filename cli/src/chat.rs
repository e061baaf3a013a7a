//! `weir chat`: a conversation in the terminal.
//!
//! Nothing that a model, a tool or a gateway says reaches the terminal's
//! interpreter, and where no terminal reads nothing is drawn at all.

mod answer;
mod asking;
mod command;
mod echo;
mod editor;
mod history;
mod interrupts;
mod keeping;
mod lines;
pub(crate) mod markdown;
mod question;
mod review;
mod screen;
mod sessions;
mod signals;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use uuid::Uuid;

use crate::client::{Client, Question};
use crate::flags::Chat;
use crate::terminal::Paint;
use crate::{Ended, access, banner, decide, output, plain};
use asking::due;
use command::{Command, Line};
use echo::Modes;
use editor::{Editor, Typed};
use history::History;
use interrupts::Interrupts;
use question::ExitStatus;
use screen::Screen;

const PROMPT: &str = "> ";

/// A conversation, and what it is held with.
struct Conversation {
    client: Client,
    session: String,
    /// Whether anything was asked in it, so that one can come back.
    asked: bool,
    /// The one that answers, unless it is the agent's own choice.
    model: Option<String>,
    editor: Editor,
    screen: Screen,
    interrupts: Interrupts,
    thinks_aloud: bool,
    /// A question that nobody took.
    unsent: Option<Question>,
    /// The worst that happened, for the end of what no person types.
    worst: ExitStatus,
    /// What the last lists named, in their order.
    sessions: Vec<String>,
    memories: Vec<String>,
    models: Vec<String>,
}

/// What comes after something was done.
enum Next {
    Prompt,
    Leave(ExitCode),
}

/// Ends also when it is told to, with the terminal as it was.
pub(crate) async fn run(flags: Chat) -> Ended {
    let before = Modes::now();
    let code = tokio::select! {
        ended = converse(flags) => return ended,
        code = signals::end(&before) => code?,
    };
    before.restore();
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        output::note("");
    }
    Ok(ExitCode::from(code))
}

async fn converse(flags: Chat) -> Ended {
    let server = access::shown(&flags.peer.server);
    let history = if flags.no_history { History::none() } else { History::of_user() };
    let mut conversation = Conversation {
        client: Client::new(&flags.peer)?,
        session: flags.session.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
        asked: false,
        model: flags.model,
        editor: Editor::new(history)?,
        screen: Screen::new(),
        interrupts: Interrupts::new(),
        thinks_aloud: false,
        unsent: None,
        worst: ExitStatus::Done,
        sessions: Vec::new(),
        memories: Vec::new(),
        models: Vec::new(),
    };
    if flags.latest {
        conversation.session = conversation.latest().await?;
    }
    let comes_back = flags.latest || flags.session.is_some();
    let code = match conversation.begin(&server, comes_back).await? {
        Next::Prompt => conversation.talk().await?,
        Next::Leave(code) => code,
    };
    conversation.say_how_to_come_back()?;
    Ok(code)
}

impl Conversation {
    async fn latest(&mut self) -> anyhow::Result<String> {
        let page = self.client.sessions(None, 1).await?;
        let session = page.items.first().and_then(|it| it["sessionId"].as_str());
        session.map(str::to_owned).context("there is no session to go on with")
    }

    /// Says who talks with whom, and does what waits in the session. A gateway
    /// that is not there may come.
    async fn begin(&mut self, server: &str, comes_back: bool) -> anyhow::Result<Next> {
        let client = self.client.clone();
        let known = self.sending(client.status()).await;
        if let Ok(Some(status)) = &known {
            self.knows_models(status);
            self.knows_what_to_complete().await;
        }
        let model = self.model.as_ref().or(self.models.first());
        let model = model.map(|it| format!(" · {it}")).unwrap_or_default();
        let line = format!("session {}{model} · {server} · /help", self.session);
        self.screen.note(Paint::Dim, &plain::line(&line))?;
        if let Err(error) = known {
            banner::error(&error.into());
        } else if comes_back {
            return self.come_back().await;
        }
        Ok(Next::Prompt)
    }

    /// For Tab; without it nothing else is missing.
    async fn knows_what_to_complete(&mut self) {
        let client = self.client.clone();
        if !self.editor.is_interactive() {
            return;
        }
        if let Ok(Some(page)) = self.sending(client.sessions(None, sessions::LISTED)).await {
            self.knows_sessions(&page);
        }
    }

    async fn come_back(&mut self) -> anyhow::Result<Next> {
        let (client, session) = (self.client.clone(), self.session.clone());
        let Some(told) = self.sending(client.session(&session)).await? else {
            return Ok(Next::Prompt);
        };
        if told["status"] == "not_found" {
            self.screen.note(Paint::Dim, "[there is no such session yet: this is a new one]")?;
            return Ok(Next::Prompt);
        }
        self.asked = true;
        if self.editor.is_interactive() {
            self.tell_last_turns(&told).await?;
        }
        let due = due(&self.client, &self.session, &told);
        self.go_on(due).await
    }

    /// Line after line, until the person leaves.
    async fn talk(&mut self) -> anyhow::Result<ExitCode> {
        let mut interrupted = false;
        loop {
            self.screen.space();
            let initial = self.kept();
            let line = match self.editor.read(PROMPT, &initial, &mut self.interrupts).await? {
                Typed::Line(line) => line,
                Typed::Over if self.editor.is_interactive() => return Ok(ExitCode::SUCCESS),
                Typed::Over => return Ok(self.worst.into()),
                Typed::Left => return Ok(ExitCode::from(130)),
                Typed::Interrupted if interrupted => return Ok(ExitCode::from(130)),
                Typed::Interrupted => {
                    (interrupted, self.unsent) = (true, None);
                    self.screen.note(Paint::Dim, "[Ctrl-C again leaves, as Ctrl-D does]")?;
                    continue;
                }
            };
            interrupted = false;
            // What one thing came to does not end the conversation.
            match self.take(&line).await {
                Ok(Next::Prompt) => {}
                Ok(Next::Leave(code)) => return Ok(code),
                Err(error) if error.is::<output::Error>() => return Err(error),
                Err(error) => {
                    self.screen.end_text()?;
                    self.comes_to(ExitStatus::Failed);
                    banner::error(&error);
                }
            }
        }
    }

    async fn take(&mut self, line: &str) -> anyhow::Result<Next> {
        let meant = command::parse(line);
        if self.editor.is_interactive() && !matches!(meant, Ok(Line::Empty)) {
            self.editor.keep(line.trim_end()).unwrap_or_else(|error| banner::error(&error));
        }
        match meant {
            Ok(Line::Empty) => match self.unsent.take() {
                // It could not stand on the line, where it would have been sent.
                Some(kept) if self.editor.is_interactive() && !self.editor.is_prefilled() => {
                    let input = kept.input.clone();
                    self.unsent = Some(kept);
                    self.ask(input, None).await
                }
                Some(_) | None => Ok(Next::Prompt),
            },
            Ok(Line::Question(input)) => self.ask(input, None).await,
            Ok(Line::Command(command)) => self.obey(command).await,
            Err(wrong) => {
                self.comes_to(ExitStatus::Failed);
                self.screen.note(Paint::Yellow, &plain::line(&wrong))?;
                Ok(Next::Prompt)
            }
        }
    }

    async fn obey(&mut self, command: Command) -> anyhow::Result<Next> {
        match command {
            Command::New => self.start_anew()?,
            Command::Sessions => self.list_sessions().await?,
            Command::Resume(which) => return self.resume(&which).await,
            Command::Model(which) => self.choose_model(which).await?,
            Command::Memory(what) => self.memory(what).await?,
            Command::Export(how) => self.export(how).await?,
            Command::Again => return self.again().await,
            Command::Review => return self.review_now().await,
            Command::Reasoning => self.think_aloud()?,
            Command::Help => self.screen.note(Paint::Dim, &command::help())?,
            Command::Quit => return Ok(Next::Leave(ExitCode::SUCCESS)),
        }
        Ok(Next::Prompt)
    }

    fn start_anew(&mut self) -> anyhow::Result<()> {
        self.say_how_to_come_back()?;
        self.session = Uuid::now_v7().to_string();
        (self.asked, self.unsent) = (false, None);
        Ok(self.screen.note(Paint::Dim, &format!("session {}", self.session))?)
    }

    fn think_aloud(&mut self) -> anyhow::Result<()> {
        self.thinks_aloud = !self.thinks_aloud;
        let how = if self.thinks_aloud { "whole" } else { "by its beginning" };
        Ok(self.screen.note(Paint::Dim, &format!("[reasoning is shown {how}]"))?)
    }

    async fn review_now(&mut self) -> anyhow::Result<Next> {
        let (client, session) = (self.client.clone(), self.session.clone());
        let Some(told) = self.sending(client.session(&session)).await? else {
            return Ok(Next::Prompt);
        };
        if told["pending"].as_array().is_none_or(Vec::is_empty) {
            self.screen.note(Paint::Dim, "nothing waits for a decision")?;
        }
        self.go_on(due(&self.client, &self.session, &told)).await
    }

    fn say_how_to_come_back(&mut self) -> Result<(), output::Error> {
        if !self.asked {
            return Ok(());
        }
        let session = decide::argument(&self.session);
        self.screen.note(Paint::Dim, &format!("come back: weir chat --session {session}"))
    }
}
