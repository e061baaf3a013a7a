//! The flags of `weir completions`.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    /// `source <(weir completions bash)` in ~/.bashrc
    Bash,
    /// weir completions zsh > a folder of $fpath, as _weir
    Zsh,
    /// weir completions fish > ~/.config/fish/completions/weir.fish
    Fish,
}
