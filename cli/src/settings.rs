//! The agent's configuration: the file, with the flags and the environment over
//! it, and how it is shown to who wants to know what would be used.
#![expect(clippy::print_stdout, reason = "the configuration is what was asked for")]

use std::process::ExitCode;

use anyhow::Context as _;

use crate::Ended;
use crate::flags::Mind;

/// The provider that `--openai-base-url` is about.
const OPENAI: &str = "openai";

/// What the flags and the file that they name come to.
pub(crate) fn read(flags: &Mind) -> anyhow::Result<agent::Config> {
    let file = flags.file.config.as_deref();
    let mut config = match file {
        Some(path) => agent::Config::read(path)?,
        None => agent::Config::environment()?,
    };
    if let Some(model) = &flags.model {
        config.model = Some(model.clone());
    }
    if !flags.knowledge.is_empty() {
        config.knowledge.folders.clone_from(&flags.knowledge);
    }
    if let Some(url) = &flags.openai_url {
        config.providers.entry(OPENAI.to_owned()).or_default().base_url = Some(url.clone());
    }
    let checked = config.check();
    match file {
        Some(path) => checked.with_context(|| path.display().to_string())?,
        None => checked?,
    }
    Ok(config)
}

/// Prints what would be used, without starting anything.
pub(crate) fn print(flags: &Mind) -> Ended {
    process::telemetry("warn");
    print!("{}", read(flags)?.shown());
    Ok(ExitCode::SUCCESS)
}
