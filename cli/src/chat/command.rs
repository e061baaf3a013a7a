//! What a typed line means: a question, or a command that begins with a slash.
//! Pure. A command that there is not, or that lacks something, is refused with
//! what there is.

/// A typed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing but space.
    Empty,
    /// To be asked.
    Question(String),
    /// To be done.
    Command(Command),
}

/// What can be done beside asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    New,
    Sessions,
    /// A number of the last list, or a session's id.
    Resume(String),
    /// A number of the list or a name; none for the list.
    Model(Option<String>),
    Memory(Memory),
    Export(Export),
    Again,
    Review,
    Reasoning,
    Help,
    Quit,
}

/// What can be done with what is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Memory {
    List,
    Add(String),
    /// A number of the last list, or a memory's id.
    Forget(String),
    Search(String),
}

/// Where a conversation is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) file: String,
    pub(super) json: bool,
    /// Also over a file that is there.
    pub(super) force: bool,
}

/// Every command: its name, what follows it, what it does.
const COMMANDS: [(&str, &str, &str); 11] = [
    ("/new", "", "begin another session"),
    ("/sessions", "", "list your sessions"),
    ("/resume", "N|ID", "go on with a session"),
    ("/model", "[N|NAME]", "list the models, or choose one"),
    ("/memory", "[list|add TEXT|forget N|search WORDS]", "what is remembered about you"),
    ("/export", "FILE [--json] [--force]", "write the session to a file"),
    ("/again", "", "have the last question answered anew"),
    ("/review", "", "decide about the calls that wait"),
    ("/reasoning", "", "show reasoning whole, or only its beginning"),
    ("/help", "", "this list"),
    ("/quit", "", "leave, as Ctrl-D does"),
];

/// The names of all commands.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|it| it.0)
}

/// Every command and key, a line each.
pub(super) fn help() -> String {
    let line = |it: &(&str, &str, &str)| {
        let usage = format!("{} {}", it.0, it.1);
        let gap = if usage.len() > 28 { "\n                              " } else { "" };
        format!("  {usage:<28}{gap}{}\n", it.2)
    };
    let commands: String = COMMANDS.iter().map(line).collect();
    format!(
        "{commands}  {:<28}a question that begins with a slash\n  \
         {:<28}another line of the same question\n  {:<28}stop the answer; twice leaves\n",
        "//text", "Alt-Enter, or \\ and Enter", "Ctrl-C"
    )
}

/// Reads a line. The error says what is wrong with it.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Line::Empty);
    }
    if line.starts_with("//") {
        return Ok(Line::Question(line[1..].to_owned()));
    }
    if !line.starts_with('/') {
        return Ok(Line::Question(line.to_owned()));
    }
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    command(name, rest.trim()).map(Line::Command)
}

/// What one types to ask this.
pub(super) fn typed(question: &str) -> String {
    let escape = if question.starts_with('/') { "/" } else { "" };
    format!("{escape}{question}")
}

fn command(name: &str, rest: &str) -> Result<Command, String> {
    let command = match name {
        "/new" => Command::New,
        "/sessions" => Command::Sessions,
        "/resume" if rest.is_empty() => return Err(wanted(name)),
        "/resume" => return Ok(Command::Resume(rest.to_owned())),
        "/model" => return Ok(Command::Model((!rest.is_empty()).then(|| rest.to_owned()))),
        "/memory" => return memory(rest).map(Command::Memory),
        "/export" => return export(rest).map(Command::Export),
        "/again" => Command::Again,
        "/review" => Command::Review,
        "/reasoning" => Command::Reasoning,
        "/help" => Command::Help,
        "/quit" => Command::Quit,
        other => {
            let all: Vec<_> = names().collect();
            return Err(format!(
                "there is no command {other}; there are {} (//… asks what begins with a slash)",
                all.join(" ")
            ));
        }
    };
    if rest.is_empty() { Ok(command) } else { Err(format!("{name} takes nothing behind it")) }
}

fn wanted(name: &str) -> String {
    let usage = COMMANDS.iter().find(|it| it.0 == name).map_or("", |it| it.1);
    format!("{name} is used as: {name} {usage}")
}

fn memory(rest: &str) -> Result<Memory, String> {
    let (what, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let text = text.trim().to_owned();
    match (what, text.is_empty()) {
        ("" | "list", true) => Ok(Memory::List),
        ("add", false) => Ok(Memory::Add(text)),
        ("forget", false) => Ok(Memory::Forget(text)),
        ("search", false) => Ok(Memory::Search(text)),
        _ => Err(wanted("/memory")),
    }
}

fn export(rest: &str) -> Result<Export, String> {
    let (flags, file): (Vec<_>, Vec<_>) =
        rest.split_whitespace().partition(|it| it.starts_with("--"));
    if file.is_empty() || flags.iter().any(|it| !["--json", "--force"].contains(it)) {
        return Err(wanted("/export"));
    }
    let has = |flag: &str| flags.contains(&flag);
    Ok(Export { file: file.join(" "), json: has("--json"), force: has("--force") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_question_unless_it_begins_with_one_slash() {
        let question = |text: &str| Ok(Line::Question(text.to_owned()));
        let does = |command| Ok(Line::Command(command));
        let export = |file: &str, json, force| {
            does(Command::Export(Export { file: file.to_owned(), json, force }))
        };
        for (line, expected) in [
            ("  ", Ok(Line::Empty)),
            ("hello /new", question("hello /new")),
            ("one\ntwo", question("one\ntwo")),
            ("//etc/passwd?", question("/etc/passwd?")),
            ("/new", does(Command::New)),
            (" /quit ", does(Command::Quit)),
            ("/resume 2", does(Command::Resume("2".to_owned()))),
            ("/model", does(Command::Model(None))),
            ("/model a/b", does(Command::Model(Some("a/b".to_owned())))),
            ("/memory", does(Command::Memory(Memory::List))),
            ("/memory add likes  tea", does(Command::Memory(Memory::Add("likes  tea".to_owned())))),
            ("/memory forget 1", does(Command::Memory(Memory::Forget("1".to_owned())))),
            ("/memory search tea", does(Command::Memory(Memory::Search("tea".to_owned())))),
            ("/export my file.md", export("my file.md", false, false)),
            ("/export --json a.json --force", export("a.json", true, true)),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn a_question_is_typed_so_that_it_is_no_command() {
        for question in ["/quit", "//two", "why", "a /new"] {
            assert_eq!(parse(&typed(question)), Ok(Line::Question(question.to_owned())));
        }
    }

    #[test]
    fn what_cannot_be_done_is_said_with_what_can() {
        for (line, expected) in [
            ("/nwe", "/sessions /resume"),
            ("/new one", "takes nothing"),
            ("/resume", "/resume N|ID"),
            ("/export", "/export FILE"),
            ("/export a --yaml", "/export FILE"),
            ("/memory add", "/memory [list|add TEXT"),
            ("/memory drop 1", "/memory [list|add TEXT"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert!(names().all(|it| help().contains(it)));
    }
}
