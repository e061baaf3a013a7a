//! Who may use the edge, and the keys that show it.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use gateway::auth;
use gateway::auth::keys;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use process::amount::Time;
use proto::UserId;

/// How callers of the edge prove who they are.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("the-tokens").args(["jwt-secret-file", "jwt-jwks"]))]
pub(crate) struct Authentication {
    /// Let in who shows an API key of this file, which `weir keys` writes; a file
    /// that changes is read again
    #[arg(id = "api-keys", long = "api-keys", env = "WEIR_API_KEYS", value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Let in who shows a JSON Web Token that is signed with the secret in this
    /// file (HS256): at least 32 bytes
    #[arg(
        id = "jwt-secret-file",
        long = "jwt-secret-file",
        env = "WEIR_JWT_SECRET_FILE",
        value_name = "FILE",
        requires_all = ["jwt-issuer", "jwt-audience"]
    )]
    secret: Option<PathBuf>,
    /// The same for tokens signed with a key of this JSON Web Key Set (RS256,
    /// ES256, EdDSA): a file, or an https:// URL
    #[arg(
        id = "jwt-jwks",
        long = "jwt-jwks",
        env = "WEIR_JWT_JWKS",
        value_name = "FILE|URL",
        requires_all = ["jwt-issuer", "jwt-audience"]
    )]
    jwks: Option<String>,
    /// What the tokens' `iss` must be
    #[arg(
        id = "jwt-issuer",
        long = "jwt-issuer",
        env = "WEIR_JWT_ISSUER",
        value_name = "TEXT",
        requires = "the-tokens"
    )]
    issuer: Option<String>,
    /// What the tokens' `aud` must be, or have among others
    #[arg(
        id = "jwt-audience",
        long = "jwt-audience",
        env = "WEIR_JWT_AUDIENCE",
        value_name = "TEXT",
        requires = "the-tokens"
    )]
    audience: Option<String>,
    /// The tokens' claim that names the user
    #[arg(
        id = "jwt-user-claim",
        long = "jwt-user-claim",
        env = "WEIR_JWT_USER_CLAIM",
        value_name = "NAME",
        default_value = "sub"
    )]
    user_claim: String,
    /// The tokens' claim that says `operator` of who may use everybody's sessions
    #[arg(
        id = "jwt-role-claim",
        long = "jwt-role-claim",
        env = "WEIR_JWT_ROLE_CLAIM",
        value_name = "NAME",
        default_value = "role"
    )]
    role_claim: String,
    /// Let everybody in who can reach the edge, also from other machines: they
    /// may use everybody's sessions
    #[arg(
        id = "without-authentication",
        long = "without-authentication",
        env = "WEIR_WITHOUT_AUTHENTICATION",
        conflicts_with_all = ["api-keys", "the-tokens"]
    )]
    pub(crate) open: bool,
}

impl Authentication {
    /// What the flags come to.
    pub(crate) fn config(&self) -> auth::Config {
        let secret = self.secret.clone().map(auth::Source::Secret);
        let source = secret.or_else(|| self.jwks.clone().map(auth::Source::Jwks));
        let parts = source.zip(self.issuer.clone()).zip(self.audience.clone());
        let jwt = parts.map(|((source, issuer), audience)| auth::Jwt {
            user_claim: self.user_claim.clone(),
            role_claim: self.role_claim.clone(),
            ..auth::Jwt::new(source, issuer, audience)
        });
        auth::Config { keys: self.keys.clone(), jwt }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key, and the file if there is none; the key is printed once
    Create(KeysCreate),
    /// List the keys, without their secrets
    List(KeysList),
    /// Take a key back: what it opened ends, too
    Revoke(KeysRevoke),
}

/// Where keys are kept.
#[derive(Debug, Args)]
pub(crate) struct KeysFile {
    /// The file of API keys
    #[arg(long = "api-keys", env = "WEIR_API_KEYS", value_name = "FILE")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct KeysCreate {
    #[command(flatten)]
    pub(crate) file: KeysFile,
    /// Who will ask with it
    #[arg(long, value_name = "ID")]
    pub(crate) user: UserId,
    /// What he may do
    #[arg(long, value_enum, default_value_t = KeyRole::User)]
    pub(crate) role: KeyRole,
    /// When it stops counting: after a time, as 12h or 90d, or on a date
    /// (00:00 UTC), as 2030-01-31 [default: never]
    #[arg(long, value_name = "DURATION|DATE", value_parser = expires)]
    pub(crate) expires: Option<Timestamp>,
    /// What it is for, for the list
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Print the key with what is known of it, as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysList {
    #[command(flatten)]
    pub(crate) file: KeysFile,
    /// Print JSON, one value a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysRevoke {
    #[command(flatten)]
    pub(crate) file: KeysFile,
    /// Print which one it was, as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Which one, as the list names it
    pub(crate) id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum KeyRole {
    /// Everything with its own sessions and memories
    User,
    /// The same with everybody's
    Operator,
}

impl From<KeyRole> for keys::Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::User => Self::User,
            KeyRole::Operator => Self::Operator,
        }
    }
}

/// A moment in the future.
fn expires(text: &str) -> Result<Timestamp, String> {
    let wrong = || "must be a time such as 12h or 90d, or a date such as 2030-01-31".to_owned();
    let now = i64::try_from(process::clock::now().as_secs()).unwrap_or(i64::MAX);
    let now = Timestamp::from_second(now).map_err(|error| error.to_string())?;
    let moment = match text.parse::<Date>() {
        Ok(date) if text.len() == "2030-01-31".len() => {
            date.to_zoned(TimeZone::UTC).map_err(|_why| wrong())?.timestamp()
        }
        Ok(_) | Err(_) => {
            let time = text.parse::<Time>().map_err(|_why| wrong())?;
            let time = SignedDuration::try_from(time.0).map_err(|_why| wrong())?;
            now.checked_add(time).map_err(|_why| "is too far away".to_owned())?
        }
    };
    if moment <= now {
        return Err("must be in the future".to_owned());
    }
    Ok(moment)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn parsed(flags: &str) -> Result<auth::Config, clap::Error> {
        let command = Authentication::augment_args(Command::new("x"));
        let arguments = std::iter::once("x").chain(flags.split_whitespace());
        let matches = command.try_get_matches_from(arguments)?;
        Ok(Authentication::from_arg_matches(&matches)?.config())
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for flags in [
            "--jwt-secret-file a",
            "--jwt-secret-file a --jwt-issuer i",
            "--jwt-jwks a --jwt-audience w",
            "--jwt-issuer i --jwt-audience w",
            "--jwt-secret-file a --jwt-jwks b --jwt-issuer i --jwt-audience w",
            "--without-authentication --api-keys a",
            "--without-authentication --jwt-jwks a --jwt-issuer i --jwt-audience w",
        ] {
            assert!(parsed(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn flags_come_to_a_configuration() {
        assert_eq!(parsed("").unwrap(), auth::Config::default());
        assert_eq!(parsed("--without-authentication").unwrap(), auth::Config::default());
        let both = "--api-keys k --jwt-jwks https://id/keys --jwt-issuer i --jwt-audience w \
            --jwt-user-claim email";
        let source = auth::Source::Jwks("https://id/keys".to_owned());
        let jwt = auth::Jwt { user_claim: "email".to_owned(), ..auth::Jwt::new(source, "i", "w") };
        assert_eq!(parsed(both).unwrap(), auth::Config { keys: Some("k".into()), jwt: Some(jwt) });
    }

    #[test]
    fn a_key_expires_after_a_time_or_on_a_date_to_come() {
        let date = expires("2999-01-31").unwrap();
        assert_eq!(date.to_string(), "2999-01-31T00:00:00Z");
        let now = i64::try_from(process::clock::now().as_secs()).unwrap();
        let day = expires("1d").unwrap().as_second() - now;
        assert!((86_400..86_410).contains(&day), "{day}");
        for bad in
            ["", "0s", "never", "-1d", "2001-01-01", "2999-02-30", "2999-1-1", "90", "99999999d"]
        {
            assert!(expires(bad).is_err(), "{bad}");
        }
    }
}
