//! The sample file, and what is refused.

use std::collections::BTreeSet;
use std::path::Path;

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::file::{self, File, Said, Server};
use super::secret::{Elsewhere, Written};
use super::*;

const SAMPLE: &str = include_str!("../../../deploy/agent/agent.toml");
const MANUAL: &str = include_str!("../../../docs/agent.md");

/// An environment in which every variable of these is set, and no other.
fn read(folder: &Path, text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
    let found = |name: &str| {
        let found = variables.iter().find(|(it, _)| *it == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    read::read(&folder.join("agent.toml"), text, &found).map(|(config, _)| config)
}

fn plain(text: &str) -> Result<Config, Error> {
    read(Path::new("/etc/weir"), text, &[])
}

/// The settings that a text has behind a # without a space, as well.
fn with_all(text: &str) -> String {
    let line = |it: &str| {
        let setting = it.strip_prefix('#').filter(|it| !it.is_empty() && !it.starts_with(' '));
        setting.unwrap_or(it).to_owned() + "\n"
    };
    text.lines().map(line).collect()
}

/// The sample's files and variables.
fn secrets() -> (tempfile::TempDir, [(&'static str, &'static str); 2]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("deepseek.key", " sk-deepseek\n"),
        ("licence.key", "canary-licence"),
        ("tickets.header", "Bearer canary-header\n"),
        ("system.md", "Be brief.\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    (folder, [("OPENAI_API_KEY", "sk-openai"), ("FILES_TOKEN", "canary-token")])
}

/// The paths of all keys; the names that the operator chooses are `*`.
fn keys(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        let Value::Object(members) = value else { return };
        let chosen = ["providers", "mcp"].contains(&path)
            || [".extra", ".env", ".headers", "tools.rules"].iter().any(|it| path.ends_with(it));
        for (name, value) in members {
            let name = if chosen { "*" } else { name };
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            walk(value, &path, found);
            found.insert(path);
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

/// All keys that there are, as the types that are read have them.
fn all_keys() -> BTreeSet<String> {
    let anywhere = |env: &str| {
        Written::Elsewhere(Elsewhere { env: Some(env.to_owned()), file: Some("file".to_owned()) })
    };
    let server = Server {
        env: [("NAME".to_owned(), anywhere("a"))].into(),
        headers: [("NAME".to_owned(), Written::Plain("text".into()))].into(),
        ..Server::default()
    };
    let extra = [("name".to_owned(), Value::Bool(true))].into_iter().collect();
    let mut file = File::default();
    file.providers.insert("name".to_owned(), file::Provider { extra, ..file::Provider::default() });
    file.mcp.insert("name".to_owned(), server);
    file.tools.rules.insert("name".to_owned(), Said::Allow);
    let value = serde_json::to_value(&file).unwrap();
    let empty = |it: &Value| it.as_object().is_some_and(serde_json::Map::is_empty);
    for (name, section) in value.as_object().unwrap() {
        assert!(!empty(section), "give `{name}` a member here, so that its keys are known");
    }
    keys(&value)
}

#[test]
fn the_sample_has_every_key_that_there_is() {
    let sample: toml::Table = toml::from_str(&with_all(SAMPLE)).unwrap();
    let sample = keys(&serde_json::to_value(sample).unwrap());
    let missing: Vec<_> = all_keys().difference(&sample).cloned().collect();
    assert!(missing.is_empty(), "deploy/agent/agent.toml lacks {missing:?}");
}

#[test]
fn the_sample_as_it_stands_changes_nothing() {
    let config = plain(SAMPLE).unwrap();
    assert_eq!(config.shown(), Config::default().shown());
    let all: File = toml::from_str(&with_all(SAMPLE)).unwrap();
    let (server, provider) = (&all.mcp["files"], &all.providers["openai"]);
    let usual = (Server::default(), file::Provider::default());
    assert_eq!((server.timeout, server.trusted), (usual.0.timeout, usual.0.trusted));
    assert_eq!(provider.window, usual.1.window);
    assert_eq!(provider.max_output_field, usual.1.max_output_field);
    assert_eq!(provider.protocol, usual.1.protocol);
}

#[test]
fn the_sample_with_everything_set_can_be_used_and_shows_no_secret() {
    let (folder, variables) = secrets();
    let whole = with_all(SAMPLE).replace("http://proxy.", "http://me:canary@proxy.");
    let text: String = whole
        .lines()
        .filter(|it| !it.starts_with("system ="))
        .fold(String::new(), |text, line| text + line + "\n");
    let config = read(folder.path(), &text, &variables).unwrap();
    config.check().unwrap();
    assert_eq!(config.system.as_deref(), Some("Be brief."));
    assert_eq!(config.pins, Some(folder.path().join("pins.toml")));
    let key =
        |name: &str| config.providers[name].key.as_ref().map(|it| it.expose_secret().to_owned());
    assert_eq!(key("openai").as_deref(), Some("sk-openai"));
    assert_eq!(key("deepseek").as_deref(), Some("sk-deepseek"));
    assert_eq!(key("ollama"), None);
    let mcp::Transport::Stdio { command, env, .. } = &config.servers["files"].transport else {
        panic!("a process");
    };
    assert_eq!((command.to_str(), env.len()), (Some("npx"), 3));
    assert_eq!(env["API_TOKEN"].expose_secret(), "canary-token");
    assert_eq!(env["LOG_LEVEL"].expose_secret(), "info");
    let mcp::Transport::Http { headers, .. } = &config.servers["tickets"].transport else {
        panic!("HTTP");
    };
    assert_eq!(headers["Authorization"].expose_secret(), "Bearer canary-header");

    let shown = config.shown();
    assert!(shown.contains("proxy = \"http://********@proxy.example:3128\""), "{shown}");
    for secret in ["canary", "sk-", "info"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!format!("{config:?}").contains(secret), "{config:?}");
    }
    let again = toml::from_str::<File>(&shown).unwrap();
    assert_eq!(again.providers.len(), 3, "what is shown has the file's own shape");
}

#[test]
fn every_example_of_the_manual_can_be_used() {
    let (folder, variables) = secrets();
    std::fs::write(folder.path().join("dashscope.key"), "sk-dashscope").unwrap();
    let mut count = 0;
    for block in MANUAL.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let config = read(folder.path(), block, &variables);
        config.unwrap_or_else(|error| panic!("{error} in:\n{block}"));
        count += 1;
    }
    assert!(count >= 5, "the manual has {count} examples");
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_is_allowed() {
    for (text, line, words) in [
        ("modle = \"x\"", 1, "unknown field `modle`, expected one of `model`"),
        ("\n[times]\nturn = 5\n", 3, "times.turn: invalid type: integer `5`, expected a time"),
        ("[times]\nturn = \"soon\"", 2, "times.turn: invalid value: string \"soon\", expected a"),
        ("[times]\n\nturn = \"2d\"", 3, "times.turn: must be 1s to 1d, not 2d"),
        ("[times]\nretries = -1", 2, "times.retries: must be 0 to 10, not -1"),
        ("[limits]\noutput = \"1GiB\"", 2, "limits.output: invalid value"),
        ("[limits]\noutput = \"2MiB\"", 2, "limits.output: must be 1KiB to 128KiB, not 2MiB"),
        ("[limits]\noutput = \"129KiB\"", 2, "limits.output: must be 1KiB to 128KiB, not 129KiB"),
        ("[limits]\nsteps = 0", 2, "limits.steps: must be 1 to 1000, not 0"),
        ("grace = \"2h\"", 1, "grace: must be 0s to 1h, not 2h"),
        ("a = ", 1, ""),
        ("grace = \"1s\"\ngrace = \"1s\"", 2, "duplicate key"),
        ("[review]\nexpires = \"1s\"", 2, "must be 1m to 365d, not 1s, or \"never\""),
        ("[review]\nexpires = \"ever\"", 2, "or \"never\""),
        ("[memory]\nbudget = \"1MiB\"", 2, "memory.budget: must be 0B to 64KiB, not 1MiB"),
        ("[memory]\nembeddings = \"extractive\"", 2, "must be `provider/name`, not"),
        ("model = \"gpt-4o\"", 1, "model: must be `extractive` or `provider/name`, not `gpt-4o`"),
        ("fallback = [\"extractive\",\n\"x/y\"]", 2, "fallback[1]: unknown model `x/y`"),
        ("[tools]\notherwise = \"ask\"", 2, "expected one of `allow`, `review`, `deny`"),
        ("[tools.rules]\n\"a.b\" = \"deny\"", 1, "a rule must have 1 to 64 characters"),
        ("[tools.rules]\n\"a?\" = \"deny\"", 2, "a rule must have 1 to 64 characters"),
        ("[knowledge]\nfolders = [\"~/notes\"]", 2, "knowledge.folders[0]: starts with ~"),
        ("system = \"a\"\nsystem_file = \"b\"", 2, "system_file: system is given as well"),
        ("\nsystem_file = \"absent.md\"", 2, "/etc/weir/absent.md cannot be read"),
        ("system = \" \"", 1, "system: must have 1 byte to 64 KiB"),
        ("pins = \"\"", 1, "pins: must be a path, and is empty"),
    ] {
        let error = plain(text).unwrap_err().to_string();
        let head = format!("/etc/weir/agent.toml:{line}: ");
        assert!(error.starts_with(&head) && error.contains(words), "{text}\n{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

/// Each of these texts is refused in such words, in one line without a secret.
fn refused(texts: &[(&str, &str)]) {
    for (text, words) in texts {
        let variables = [("K", "key"), ("EMPTY", " "), ("LINES", "canary\nkey")];
        let error = read(Path::new("/etc/weir"), text, &variables).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains('\n'), "{text}\n{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn a_provider_that_cannot_be_used_is_refused() {
    refused(&[
        ("[providers.a]", "providers.a: needs key_env or key_file, or the base_url"),
        ("[providers.A]\nkey_env = \"K\"", "providers.A: its name must have 1 to 32"),
        ("[providers.a]\nkey_env = \"ABSENT\"", "the variable ABSENT is not set"),
        ("[providers.a]\nkey_env = \"EMPTY\"", "the variable EMPTY is not set"),
        ("[providers.a]\nkey_file = \"absent\"", "providers.a.key_file: the file /etc/weir/absent"),
        ("[providers.a]\nkey_env = \"K\"\nkey_file = \"k\"", "leave one out"),
        ("[providers.a]\nkey = \"x\"", "unknown field `key`"),
        ("[providers.a]\nbase_url = \"ftp://x\"", "must be an http or https URL"),
        ("[providers.a]\nbase_url = \"http://me:pw@x\"", "must hold no name and password"),
        ("[providers.a]\nkey_env = \"K\"\nwindow = 5", "must be 1024 to 10000000, not 5"),
        (
            "[providers.a]\nkey_env = \"K\"\nwindow = 2001\nmax_output = 1001",
            "agent.toml:4: providers.a.max_output: must be 1 to 1000, not 1001: half of `window` at",
        ),
        (
            "[providers.a]\nkey_env = \"K\"\nmax_output = 131072",
            "providers.a.max_output: must be 1 to 65536, not 131072: half of `window` at most",
        ),
        (
            "[providers.a]\nkey_env = \"K\"\nmodels = [\"a\", \"a\"]",
            "models[1]: `a` is there twice",
        ),
        ("[providers.a]\nkey_env = \"K\"\nprotocol = \"x\"", "`openai`"),
        ("[providers.a]\nkey_env = \"K\"\nextra = { stream = false }", "extra.stream: is set by"),
        (
            "[providers.a]\nkey_env = \"K\"\n\nextra = { stream_options = { } }",
            "agent.toml:4: providers.a.extra.stream_options: is set by the agent; leave it out",
        ),
        ("[providers.a]\nkey_env = \"K\"\nextra = { a = 2026-01-01 }", "holds a date"),
        (
            "[providers.a]\nkey_env = \"K\"\nmax_output_field = \"messages\"",
            "agent.toml:3: providers.a.max_output_field: `messages` is set by the agent; name the",
        ),
        (
            "[providers.a]\n\nkey_env = \"LINES\"",
            "agent.toml:3: providers.a.key_env: the provider `a` cannot be used: its key holds",
        ),
        (
            "[providers.a]\nbase_url = \"http://[::1\"",
            "agent.toml:2: providers.a.base_url: the URL `http://[::1` cannot be used",
        ),
        (
            "[providers.a]\nkey_env = \"K\"\nproxy = \"socks5://me:canary@host\"",
            "agent.toml:3: providers.a.proxy: the proxy of the provider `a` must be an http or",
        ),
        ("model = \"a/y\"\n[providers.a]\nkey_env = \"K\"\nmodels = [\"x\"]", "`a` offers x only"),
    ]);
}

#[test]
fn a_server_that_cannot_be_used_is_refused() {
    refused(&[
        ("[mcp.a__b]\ncommand = \"x\"", "mcp.a__b: its name must have 1 to 32"),
        ("[mcp.-a]\ncommand = \"x\"", "mcp.-a: its name must have 1 to 32"),
        ("[mcp.a]", "mcp.a: needs a command to start, or a url"),
        ("[mcp.a]\ncommand = \"x\"\nurl = \"http://x\"", "mcp.a.url: command is given as well"),
        ("[mcp.a]\ncommand = \"x\"\nheaders = { A = \"b\" }", "mcp.a.headers: needs url"),
        ("[mcp.a]\nurl = \"http://x\"\nargs = [\"b\"]", "mcp.a.args: needs command"),
        ("[mcp.a]\nurl = \"http://x\"\nheaders = { \"a b\" = \"c\" }", "its name holds characters"),
        (
            "[mcp.a]\nurl = \"http://x\"\nheaders = { A = { env = \"ABSENT\" } }",
            "ABSENT is not set",
        ),
        ("[mcp.a]\nurl = \"http://x\"\nheaders = { A = { } }", "must be a text, { env"),
        (
            "[mcp.a]\ncommand = \"x\"\ntimeout = \"2h\"",
            "mcp.a.timeout: must be 100ms to 1h, not 2h",
        ),
        ("[mcp.a]\ncommand = \"x\"\nenv = { A = { file = \"absent\" } }", "mcp.a.env.A: the file"),
    ]);
}

#[test]
fn no_error_repeats_what_may_be_a_secret() {
    for text in [
        "[providers.a]\nkey_env = \"sk-canary-1\"",
        "[providers.a]\nkey = \"canary\"",
        "[providers.a]\nbase_url = \"http://x\"\nproxy = \"http://me:canary@x/path\"",
        "[providers.a]\nbase_url = \"http://x\"\nproxy = [\"http://me:canary@x\"]",
        "[mcp.a]\ncommand = \"x\"\nenv = \"TOKEN=canary\"",
        "[mcp.a]\ncommand = \"x\"\nenv = [\"TOKEN=canary\"]",
        "[mcp.a]\nurl = \"http://x\"\n[mcp.a.headers]\nA = [\"canary\"]",
        "[mcp.a]\nurl = \"http://x\"\n[mcp.a.headers]\nA = { text = \"canary\" }",
        "[mcp.a]\nurl = \"http://x\"\n[mcp.a.headers]\nA = \"canary\\nB: c\"",
        "[mcp.a]\nurl = \"http://x\"\n[mcp.a.headers]\nA = \"canary",
    ] {
        let error = plain(text).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        assert!(error.starts_with("/etc/weir/agent.toml:"), "{error}");
    }
}

#[test]
fn files_have_a_limit_and_their_paths_start_at_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    let text = "[providers.a]\nkey_file = \"keys/a\"\n[knowledge]\nfolders = [\"docs\", \"/srv\"]\n\
                [mcp.a]\ncommand = \"bin/server\"";
    for (length, fits) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        std::fs::write(folder.path().join("keys/a"), "k".repeat(length)).unwrap();
        assert_eq!(read(folder.path(), text, &[]).is_ok(), fits, "{length}");
    }
    std::fs::write(folder.path().join("keys/a"), " \n").unwrap();
    assert!(read(folder.path(), text, &[]).unwrap_err().to_string().contains("is empty"));
    std::fs::write(folder.path().join("keys/a"), [0xff]).unwrap();
    assert!(read(folder.path(), text, &[]).unwrap_err().to_string().contains("UTF-8"));
    std::fs::write(folder.path().join("keys/a"), "k").unwrap();
    let config = read(folder.path(), text, &[]).unwrap();
    assert_eq!(config.knowledge.folders, [folder.path().join("docs"), "/srv".into()]);
    let mcp::Transport::Stdio { command, .. } = &config.servers["a"].transport else {
        panic!("a process");
    };
    assert_eq!(*command, folder.path().join("bin/server"));

    let large = folder.path().join("large.toml");
    std::fs::write(&large, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert!(Config::read(&large).unwrap_err().to_string().contains("at most 1024 KiB"));
    let absent = Config::read(&folder.path().join("absent.toml")).unwrap_err().to_string();
    assert!(absent.contains("absent.toml cannot be read"), "{absent}");
}

#[test]
fn the_environment_adds_the_providers_that_the_file_does_not_have() {
    let all =
        [("OPENAI_API_KEY", "k1"), ("OPENAI_BASE_URL", "http://x/v1"), ("DASHSCOPE_API_KEY", "k2")];
    let config = read(Path::new(""), "", &all).unwrap();
    assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["dashscope", "openai"]);
    assert_eq!(config.providers["dashscope"].protocol, Protocol::DashScope);
    assert_eq!(config.providers["openai"].base_url.as_deref(), Some("http://x/v1"));

    let found = |name: &str| all.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    let text = "[providers.openai]\nbase_url = \"http://mine\"\nkey_env = \"OPENAI_API_KEY\"";
    let (config, unused) = read::read(Path::new("agent.toml"), text, &found).unwrap();
    assert_eq!(config.providers["openai"].base_url.as_deref(), Some("http://mine"));
    assert_eq!(unused, ["OPENAI_BASE_URL"]);

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "from-a-file\n").unwrap();
    let file = [("DASHSCOPE_API_KEY_FILE", key.to_str().unwrap())];
    let config = read(Path::new(""), "", &file).unwrap();
    let secret = config.providers["dashscope"].key.as_ref().unwrap();
    assert_eq!(secret.expose_secret(), "from-a-file");
    let both = [("OPENAI_API_KEY", "k"), ("OPENAI_API_KEY_FILE", "f")];
    let error = read(Path::new(""), "", &both).unwrap_err().to_string();
    assert_eq!(error, "OPENAI_API_KEY_FILE: OPENAI_API_KEY is set as well; leave one out");
}

#[test]
fn the_default_model_is_of_the_first_provider_that_has_a_key() {
    let k = |name: &str| format!("[providers.{name}]\nkey_env = \"K\"\n");
    let models = |name: &str, list: &str| format!("{}models = {list}\n", k(name));
    for (text, is) in [
        (String::new(), "extractive"),
        (k("openai") + &k("dashscope"), "openai/gpt-4o-mini"),
        (k("dashscope"), "dashscope/qwen-plus"),
        (k("dashscope") + &models("abc", "[\"m\"]"), "dashscope/qwen-plus"),
        (models("openai", "[\"m\", \"n\"]"), "openai/m"),
        (models("openai", "[\"m\", \"gpt-4o-mini\"]"), "openai/gpt-4o-mini"),
        (models("deepseek", "[\"deepseek-chat\"]"), "deepseek/deepseek-chat"),
        // Which of its models, nobody can know.
        (k("deepseek"), "extractive"),
        ("[providers.openai]\nbase_url = \"http://x\"".to_owned(), "extractive"),
        ("model = \"extractive\"\n".to_owned() + &k("openai"), "extractive"),
    ] {
        let config = read(Path::new(""), &text, &[("K", "key")]).unwrap();
        assert_eq!(config.standard(), is, "{text}");
    }
}

#[test]
fn a_model_that_nobody_offers_is_refused_once_all_is_put_together() {
    // A flag may still say where `openai` is.
    let mut config = plain("model = \"openai/x\"").unwrap();
    let error = config.check().unwrap_err().to_string();
    assert!(
        error.starts_with("model: unknown model `openai/x`; allowed are `extractive`"),
        "{error}"
    );
    assert!(error.contains("OPENAI_API_KEY"), "{error}");
    let base_url = Some("http://127.0.0.1:9/v1".to_owned());
    let there = Provider { base_url, ..Provider::default() };
    config.providers.insert("openai".to_owned(), there);
    config.check().unwrap();
}
