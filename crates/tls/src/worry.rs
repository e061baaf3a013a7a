//! What is the matter with a certificate that is used all the same: the other
//! side decides, but an operator wants to know before it does. Pure.

use std::fmt;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use crate::provider;

/// How long before its end one hears of it.
const AHEAD: Duration = Duration::from_hours(7 * 24);

/// What is the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worry {
    /// It is too old.
    Expired,
    /// Its time has not come.
    TooEarly,
    /// It will be too old soon.
    Ends,
}

impl fmt::Display for Worry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the certificate has expired; peers will refuse it",
            Self::TooEarly => "the certificate is not valid yet; peers will refuse it",
            Self::Ends => "the certificate expires within a week",
        })
    }
}

/// What is the matter with a certificate at this time since the epoch.
pub(crate) fn worry(certificate: &CertificateDer<'_>, now: Duration) -> Option<Worry> {
    match (trouble(certificate, now), trouble(certificate, now + AHEAD)) {
        (None, Some(Worry::Expired)) => Some(Worry::Ends),
        (now, _later) => now,
    }
}

fn trouble(certificate: &CertificateDer<'_>, at: Duration) -> Option<Worry> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    // Nobody vouches for it here: its times are looked at before that shows.
    let judged = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        UnixTime::since_unix_epoch(at),
        provider().signature_verification_algorithms.all,
    );
    let Err(Error::InvalidCertificate(why)) = judged else {
        return None;
    };
    if let CertificateError::Expired | CertificateError::ExpiredContext { .. } = why {
        return Some(Worry::Expired);
    }
    let early =
        matches!(why, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. });
    early.then_some(Worry::TooEarly)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_worried_about_before_during_and_after_its_end() {
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let day = |days: i64| {
            let since = params.not_before.unix_timestamp() + days * 24 * 60 * 60;
            Duration::from_secs(since.try_into().unwrap())
        };
        for (at, expected) in [
            (-1, Some(Worry::TooEarly)),
            (1, None),
            (357, None),
            (361, Some(Worry::Ends)),
            (367, Some(Worry::Expired)),
        ] {
            assert_eq!(worry(certificate.der(), day(at)), expected, "day {at}");
        }
    }
}
