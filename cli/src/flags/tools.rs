//! The flags of `weir tools`.

use clap::{Args, Subcommand};

use super::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// List the tools of the configured MCP servers, and why some are withheld
    List(ToolsList),
    /// Give your word for the tools as they describe themselves now: their
    /// fingerprints go into the configuration's file of pins. Shows what is new
    /// or changed first
    Pin(ToolsPin),
}

#[derive(Debug, Args)]
pub(crate) struct ToolsList {
    #[command(flatten)]
    pub(crate) chosen: ToolsChosen,
    /// Print JSON, one tool a line, with its whole description and schema
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ToolsPin {
    #[command(flatten)]
    pub(crate) chosen: ToolsChosen,
    /// Pin what is new or changed as well
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ToolsChosen {
    #[command(flatten)]
    pub(crate) file: Settings,
    /// Only this server; repeat it for several [default: all]
    #[arg(long = "server", value_name = "NAME")]
    pub(crate) servers: Vec<String>,
}
