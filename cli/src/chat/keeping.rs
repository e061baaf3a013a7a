//! What is kept beyond a conversation: memories, models to choose from, and the
//! conversation itself as a file.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use serde_json::Value;

use super::answer::field;
use super::command::{Export, Memory};
use super::{Conversation, Next};
use crate::sessions;
use crate::terminal::Paint;
use crate::{models, plain, when};

/// How many memories are listed.
const LISTED: u16 = 20;
/// The most of one that is shown.
const TEXT: usize = 200;

impl Conversation {
    pub(super) async fn memory(&mut self, what: Memory) -> anyhow::Result<()> {
        match what {
            Memory::List => self.list_memories(None).await,
            Memory::Search(words) => self.list_memories(Some(&words)).await,
            Memory::Add(text) => {
                let client = self.client.clone();
                if self.sending(client.remember(&text)).await?.is_some() {
                    self.screen.note(Paint::Dim, "[remembered]")?;
                }
                Ok(())
            }
            Memory::Forget(which) => self.forget(&which).await,
        }
    }

    async fn list_memories(&mut self, words: Option<&str>) -> anyhow::Result<()> {
        let client = self.client.clone();
        let listing = client.memories(words, None, LISTED);
        let Some(page) = self.sending(listing).await? else { return Ok(()) };
        self.memories =
            page.items.iter().map(|it| it["id"].as_str().unwrap_or_default().to_owned()).collect();
        if page.items.is_empty() {
            return Ok(self.screen.note(Paint::Dim, "nothing is remembered")?);
        }
        for (at, memory) in page.items.iter().enumerate() {
            let when = memory["at"].as_str().map(when::ago).unwrap_or_default();
            let text = plain::shortened(&field(memory, "text"), TEXT);
            self.screen.note(Paint::Dim, &format!("{:>4}  {text} · {when}", at + 1))?;
        }
        let more = if page.cursor.is_some() { "; older ones: weir memory list --all" } else { "" };
        Ok(self.screen.note(Paint::Dim, &format!("[/memory forget N forgets one{more}]"))?)
    }

    async fn forget(&mut self, which: &str) -> anyhow::Result<()> {
        let memory = match which.parse::<usize>() {
            Ok(number) => match number.checked_sub(1).and_then(|it| self.memories.get(it)) {
                Some(memory) => memory.clone(),
                None => bail!("there is no memory {number} in the last list; see /memory"),
            },
            Err(_no_number) => which.to_owned(),
        };
        let client = self.client.clone();
        if self.sending(client.forget(&memory)).await?.is_some() {
            self.screen.note(Paint::Dim, "[forgotten]")?;
        }
        Ok(())
    }

    /// Lists the models, or chooses one for the questions to come.
    pub(super) async fn choose_model(&mut self, which: Option<String>) -> anyhow::Result<()> {
        let client = self.client.clone();
        let Some(status) = self.sending(client.status()).await? else { return Ok(()) };
        self.knows_models(&status);
        let Some(which) = which else { return self.list_models() };
        let number = which.parse::<usize>().ok();
        let named = number.and_then(|it| self.models.get(it.checked_sub(1)?));
        let named = named.filter(|it| models::is_one(it)).cloned();
        let model = named.unwrap_or(which);
        ensure!(
            self.models.iter().any(|it| models::covers(it, &model)),
            "no agent offers the model {}; see /model",
            plain::line(&model)
        );
        self.screen.note(Paint::Dim, &format!("[{} answers from now on]", plain::line(&model)))?;
        self.model = Some(model);
        Ok(())
    }

    /// Remembers which models a gateway names.
    pub(super) fn knows_models(&mut self, status: &Value) {
        let agents = status["agents"].as_array().into_iter().flatten();
        let models = agents.filter_map(|it| it["models"].as_array()).flatten();
        self.models.clear();
        for model in models.filter_map(Value::as_str) {
            if !self.models.iter().any(|it| it == model) {
                self.models.push(model.to_owned());
            }
        }
        // What stands for many has no number, and is not completed.
        self.models.sort_by_key(|it| !models::is_one(it));
        let names = self.models.iter().filter(|it| models::is_one(it)).cloned();
        self.editor.knows(None, Some(names.collect()));
    }

    fn list_models(&mut self) -> anyhow::Result<()> {
        if self.models.is_empty() {
            return Ok(self.screen.note(Paint::Yellow, "[no agent is there]")?);
        }
        let chosen = self.model.clone().or_else(|| self.models.first().cloned());
        for (at, model) in self.models.iter().enumerate() {
            let here = if Some(model) == chosen.as_ref() { "*" } else { " " };
            let number = if models::is_one(model) { (at + 1).to_string() } else { String::new() };
            let line = format!("{here}{number:>3}  {}", plain::line(model));
            self.screen.note(Paint::Dim, &line)?;
        }
        Ok(self.screen.note(Paint::Dim, "[/model N chooses one]")?)
    }

    /// Writes the whole session to a file.
    pub(super) async fn export(&mut self, how: Export) -> anyhow::Result<()> {
        let (client, session) = (self.client.clone(), self.session.clone());
        let gathered = async { Ok(sessions::document(&client, &session, how.json).await) };
        let Some(text) = self.sending(gathered).await? else { return Ok(()) };
        let file = at_home(&how.file);
        sessions::write(&file, &text?, how.force)?;
        let name = plain::line(&file.display().to_string());
        Ok(self.screen.note(Paint::Dim, &format!("[written to {name}]"))?)
    }

    /// Has the last question answered anew, in its own place.
    pub(super) async fn again(&mut self) -> anyhow::Result<Next> {
        let (client, session) = (self.client.clone(), self.session.clone());
        let Some(turns) = self.sending(client.turns(&session)).await? else {
            return Ok(Next::Prompt);
        };
        let Some((turn, input)) = turns.iter().rev().find_map(question) else {
            bail!("there is no question yet");
        };
        self.ask(input, Some(turn)).await
    }
}

/// A turn's id and what was asked in it.
fn question(turn: &Value) -> Option<(String, String)> {
    let messages = turn["messages"].as_array()?;
    let asked = messages.iter().find(|it| it["role"] == "user")?;
    Some((turn["turnId"].as_str()?.to_owned(), asked["content"].as_str()?.to_owned()))
}

/// A path as a person types it.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), dirs::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_what_the_user_said_in_a_turn() {
        let turn = json!({"turnId": "t", "messages": [
            {"role": "user", "content": "why"}, {"role": "assistant", "content": "so"}]});
        assert_eq!(question(&turn), Some(("t".to_owned(), "why".to_owned())));
        assert_eq!(question(&json!({"turnId": "t", "messages": []})), None);
    }
}
