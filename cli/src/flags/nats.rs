//! How NATS is reached, and what is asked of it.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use secrecy::SecretString;

use super::size::bytes;

/// Less would refuse, or throw away, what is in use.
const LEAST_JOBS: u64 = 16 << 20;
const LEAST_LOG: u64 = 64 << 20;

/// What a process asks of NATS.
#[derive(Debug, Clone, Args)]
pub(crate) struct Servers {
    /// Copies of everything that NATS keeps
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: u8,
    #[command(flatten)]
    pub(crate) login: Login,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Whether this process makes the streams that are missing; `never` is for
    /// those that may not, and `weir nats apply` does it for them
    #[arg(
        id = "nats-declare",
        long = "nats-declare",
        env = "WEIR_NATS_DECLARE",
        value_enum,
        default_value_t
    )]
    pub(crate) declare: Declare,
    /// The monitors of all servers, as `http://host:8222`: what says when they sync
    #[arg(
        id = "nats-monitor",
        long = "nats-monitor",
        env = "WEIR_NATS_MONITOR",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub(crate) monitors: Vec<String>,
    /// Room for all unfinished jobs, as 1GiB, set aside on the servers: past it
    /// no question is accepted; at least 16MiB [default: 1GiB, or what there is;
    /// it is never lowered]
    #[arg(long, env = "WEIR_JOBS_BYTES", value_name = "SIZE", value_parser = jobs_bytes)]
    pub(crate) jobs_bytes: Option<u64>,
    /// Room for all sessions' logs, as 64GiB: past it the oldest entries go first,
    /// and their readers are told; at least 64MiB [default: no limit but their age]
    #[arg(long, env = "WEIR_LOG_BYTES", value_name = "SIZE", value_parser = log_bytes)]
    pub(crate) log_bytes: Option<u64>,
}

/// How a process logs in at NATS: in one way, or as the URL says.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("nats-as").args(["nats-creds", "nats-nkey", "nats-user"]))]
pub(crate) struct Login {
    /// Log in with a credentials file
    #[arg(id = "nats-creds", long = "nats-creds", env = "NATS_CREDS", value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// Log in with the nkey seed in a file
    #[arg(id = "nats-nkey", long = "nats-nkey", env = "NATS_NKEY", value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// Log in as this user; the password comes from `NATS_PASSWORD` or a file
    #[arg(id = "nats-user", long = "nats-user", env = "NATS_USER", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// The user's password; only from the environment
    #[arg(
        id = "nats-password",
        long = "nats-password",
        env = "NATS_PASSWORD",
        hide = true,
        hide_env_values = true
    )]
    pub(crate) password: Option<SecretString>,
    /// A file with the user's password
    #[arg(
        id = "nats-password-file",
        long = "nats-password-file",
        env = "NATS_PASSWORD_FILE",
        value_name = "FILE",
        conflicts_with = "nats-password"
    )]
    pub(crate) password_file: Option<PathBuf>,
}

/// Whom a process believes to be a NATS server, and what it shows there.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct Tls {
    /// Who vouches for the servers (PEM); TLS is required then
    /// [default: those that the platform trusts]
    #[arg(id = "nats-ca", long = "nats-ca", env = "NATS_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate that servers are shown (PEM)
    #[arg(
        id = "nats-cert",
        long = "nats-cert",
        env = "NATS_CERT",
        value_name = "FILE",
        requires = "nats-key"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(
        id = "nats-key",
        long = "nats-key",
        env = "NATS_KEY",
        value_name = "FILE",
        requires = "nats-cert"
    )]
    pub(crate) key: Option<PathBuf>,
    /// Refuse servers without TLS, also where the platform vouches for them
    #[arg(id = "nats-tls", long = "nats-tls", env = "WEIR_NATS_TLS")]
    pub(crate) required: bool,
}

/// What a process does about what is missing on NATS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Declare {
    /// Make it
    #[default]
    Missing,
    /// Refuse to start
    Never,
}

/// What is done with the servers.
#[derive(Debug, Subcommand)]
pub(crate) enum NatsCommand {
    /// Make what is missing and bring up to date what is there; say what that took
    Apply(super::Nats),
    /// Look whether all is there and fit, and change nothing
    Check(super::Nats),
}

impl Servers {
    /// A flag that means nothing without NATS, and was given.
    pub(crate) fn out_of_place(&self) -> Option<&'static str> {
        let flags = [
            (self.replicas > 1, "--replicas"),
            (self.jobs_bytes.is_some(), "--jobs-bytes"),
            (self.log_bytes.is_some(), "--log-bytes"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

fn jobs_bytes(text: &str) -> Result<u64, String> {
    at_least(LEAST_JOBS, text)
}

fn log_bytes(text: &str) -> Result<u64, String> {
    at_least(LEAST_LOG, text)
}

fn at_least(least: u64, text: &str) -> Result<u64, String> {
    match bytes(text)? {
        few if few < least => Err(format!("must be at least {}MiB", least >> 20)),
        enough => Ok(enough),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        nats: super::super::Nats,
    }

    fn parsed(flags: &str) -> Result<super::super::Nats, clap::Error> {
        Only::try_parse_from(std::iter::once("x").chain(flags.split_whitespace())).map(|it| it.nats)
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for flags in [
            "--nats-creds a --nats-nkey b",
            "--nats-creds a --nats-user b",
            "--nats-nkey a --nats-user b",
            "--nats-cert a",
            "--nats-key a",
            "--nats-password-file a --nats-password b",
            "--log-bytes 1MiB",
            "--jobs-bytes many",
            "--replicas 6",
            "--nats-declare always",
            "--durability safe",
        ] {
            assert!(parsed(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn what_goes_together_arrives() {
        let flags = parsed(
            "--nats tls://a,tls://b --nats-user me --nats-password-file p --nats-ca c --nats-cert d \
             --nats-key k --nats-declare never --nats-monitor http://a,http://b --log-bytes 2GiB \
             --durability fsynced",
        );
        let flags = flags.unwrap();
        assert_eq!(flags.servers.monitors, ["http://a", "http://b"]);
        assert_eq!(flags.servers.declare, Declare::Never);
        assert_eq!(flags.servers.log_bytes, Some(2 << 30));
        assert_eq!(flags.least.durability, Some(broker::Durability::Fsynced));
        assert!(flags.servers.tls.cert.is_some() && !flags.servers.tls.required);
    }

    #[test]
    fn a_password_is_not_printed_with_the_flags() {
        let flags = parsed("--nats-user me --nats-password canary").unwrap();
        assert!(!format!("{flags:?}").contains("canary"));
    }
}
