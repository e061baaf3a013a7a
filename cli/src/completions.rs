//! `weir completions`: what a shell needs to complete weir's commands and flags.
//! Made from the flags themselves.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::shells::{Bash, Fish, Zsh};
use clap_complete::{Generator, generate};

use crate::flags::{Completions, Shell, Weir};
use crate::{Ended, output};

/// What the script completes.
const NAME: &str = "weir";

pub(crate) fn run(flags: &Completions) -> Ended {
    output::print(&match flags.shell {
        Shell::Bash => script(Bash)?,
        Shell::Zsh => script(Zsh)?,
        Shell::Fish => script(Fish)?,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: impl Generator) -> anyhow::Result<String> {
    let mut script = Vec::new();
    generate(shell, &mut Weir::command(), NAME, &mut script);
    Ok(String::from_utf8(script)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_every_command() {
        let scripts = [script(Bash), script(Zsh), script(Fish)];
        for script in scripts.map(Result::unwrap) {
            for command in Weir::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{}", command.get_name());
            }
        }
    }
}
