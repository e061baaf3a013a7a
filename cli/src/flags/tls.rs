//! Certificates: those that are shown, and whom they make one believe. Also what
//! a client shows a gateway, because that needs TLS most.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use secrecy::SecretString;

/// The HTTP edge's certificate.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct EdgeTls {
    /// Serve HTTPS with this certificate (PEM; then those between it and its
    /// authority), and nothing in the clear; a file that changes is read again
    #[arg(
        id = "tls-cert",
        long = "tls-cert",
        env = "WEIR_TLS_CERT",
        value_name = "FILE",
        requires = "tls-key"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate (PEM, without a passphrase)
    #[arg(
        id = "tls-key",
        long = "tls-key",
        env = "WEIR_TLS_KEY",
        value_name = "FILE",
        requires = "tls-cert"
    )]
    pub(crate) key: Option<PathBuf>,
}

/// The agent's certificate, and the clients that it lets in.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct GrpcTls {
    /// Serve gRPC in TLS with this certificate (PEM; then those between it and
    /// its authority); a file that changes is read again
    #[arg(
        id = "grpc-tls-cert",
        long = "grpc-tls-cert",
        env = "WEIR_GRPC_TLS_CERT",
        value_name = "FILE",
        requires = "grpc-tls-key"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate (PEM, without a passphrase)
    #[arg(
        id = "grpc-tls-key",
        long = "grpc-tls-key",
        env = "WEIR_GRPC_TLS_KEY",
        value_name = "FILE",
        requires = "grpc-tls-cert"
    )]
    pub(crate) key: Option<PathBuf>,
    /// Let in only clients with a certificate of these authorities (PEM)
    #[arg(
        id = "grpc-client-ca",
        long = "grpc-client-ca",
        env = "WEIR_GRPC_CLIENT_CA",
        value_name = "FILE",
        requires = "grpc-tls-cert"
    )]
    pub(crate) client_ca: Option<PathBuf>,
    /// A DNS name of which a client's certificate must have one among its
    /// alternative names; repeat it for several
    #[arg(
        id = "grpc-client-name",
        long = "grpc-client-name",
        env = "WEIR_GRPC_CLIENT_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "worker",
        requires = "grpc-client-ca"
    )]
    pub(crate) client_names: Vec<String>,
    /// Let everybody who can reach the port use the agent, also from other
    /// machines: they may ask, in anybody's name
    #[arg(
        id = "grpc-without-authentication",
        long = "grpc-without-authentication",
        env = "WEIR_GRPC_WITHOUT_AUTHENTICATION",
        conflicts_with = "grpc-client-ca"
    )]
    pub(crate) without_authentication: bool,
}

/// How a worker knows its agents, and what it shows them.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct AgentTls {
    /// Who vouches for agents at https:// (PEM), in place of those that the
    /// platform trusts
    #[arg(id = "agent-ca", long = "agent-ca", env = "WEIR_AGENT_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate that agents are shown (PEM); a file that changes is read
    /// again
    #[arg(
        id = "agent-cert",
        long = "agent-cert",
        env = "WEIR_AGENT_CERT",
        value_name = "FILE",
        requires = "agent-key"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate (PEM, without a passphrase)
    #[arg(
        id = "agent-key",
        long = "agent-key",
        env = "WEIR_AGENT_KEY",
        value_name = "FILE",
        requires = "agent-cert"
    )]
    pub(crate) key: Option<PathBuf>,
    /// The name that an agent's certificate must have [default: that in its URL]
    #[arg(id = "agent-name", long = "agent-name", env = "WEIR_AGENT_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,
}

impl AgentTls {
    /// The first of these flags that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.ca.is_some(), "--agent-ca"),
            (self.cert.is_some(), "--agent-cert"),
            (self.name.is_some(), "--agent-name"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

/// How a client knows its gateway, and what it shows it.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("the-key").args(["api-key", "api-key-file"]))]
pub(crate) struct Access {
    /// Who vouches for the gateway (PEM), in place of those that the platform
    /// trusts
    #[arg(id = "ca", long = "ca", env = "WEIR_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The API key; other programs may see a command line, so better the
    /// environment or a file
    #[arg(
        id = "api-key",
        long = "api-key",
        env = "WEIR_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(crate) key: Option<SecretString>,
    /// A file with the API key in its first line
    #[arg(
        id = "api-key-file",
        long = "api-key-file",
        env = "WEIR_API_KEY_FILE",
        value_name = "FILE"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// Send the API key also to another machine without TLS, where everybody on
    /// the way can read it
    #[arg(id = "send-key-unencrypted", long = "send-key-unencrypted")]
    pub(crate) unencrypted: bool,
}

impl Access {
    /// Whether a key is shown.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some() || self.key_file.is_some()
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn parsed<T: Args>(flags: &str) -> Result<T, clap::Error> {
        let command = T::augment_args(Command::new("x"));
        let arguments = std::iter::once("x").chain(flags.split_whitespace());
        T::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for flags in ["--tls-cert a", "--tls-key a"] {
            assert!(parsed::<EdgeTls>(flags).is_err(), "{flags}");
        }
        for flags in [
            "--grpc-tls-cert a",
            "--grpc-tls-key a",
            "--grpc-client-ca a",
            "--grpc-client-name a",
            "--grpc-tls-cert a --grpc-tls-key a --grpc-client-name a",
            "--grpc-tls-cert a --grpc-tls-key a --grpc-client-ca a --grpc-without-authentication",
        ] {
            assert!(parsed::<GrpcTls>(flags).is_err(), "{flags}");
        }
        assert!(parsed::<AgentTls>("--agent-cert a").is_err());
        assert!(parsed::<Access>("--api-key a --api-key-file b").is_err());
    }

    #[test]
    fn a_client_must_be_a_worker_unless_other_names_are_given() {
        let secured = "--grpc-tls-cert a --grpc-tls-key b --grpc-client-ca c";
        assert_eq!(parsed::<GrpcTls>(secured).unwrap().client_names, ["worker"]);
        let named = format!("{secured} --grpc-client-name w1 --grpc-client-name w2,w3");
        assert_eq!(parsed::<GrpcTls>(&named).unwrap().client_names, ["w1", "w2", "w3"]);
    }

    #[test]
    fn a_key_is_neither_printed_with_the_flags_nor_in_the_help_nor_in_an_error() {
        let access: Access = parsed("--api-key canary").unwrap();
        assert!(!format!("{access:?}").contains("canary"));
        let error = parsed::<Access>("--api-key canary --api-key-file f").unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
        let mut help = Access::augment_args(Command::new("x"));
        let hidden = help.get_arguments().find(|it| it.get_id() == "api-key").unwrap();
        assert!(hidden.is_hide_env_values_set());
        assert!(help.render_long_help().to_string().contains("WEIR_API_KEY"));
    }
}
