//! Certificates for one test: an authority of its own, and what it vouches for.

use std::ops::Range;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// Who vouches for servers and clients. Its files go with it.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new one, that nobody knows.
    pub fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), folder })
    }

    /// The file of its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Vouches for a server on loopback and a client of that name: the files of
    /// the certificate and of its key.
    pub fn vouch(&self, name: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        self.vouch_for(name, &["localhost", "127.0.0.1"], 1975..4096)
    }

    /// Vouches for these alternative names, between the beginnings of two years;
    /// the files are called `name`.
    pub fn vouch_for(
        &self,
        name: &str,
        alternatives: &[&str],
        years: Range<i32>,
    ) -> anyhow::Result<(PathBuf, PathBuf)> {
        let alternatives: Vec<_> = alternatives.iter().map(|it| (*it).to_owned()).collect();
        let mut params = CertificateParams::new(alternatives)?;
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let file = |ending: &str| self.folder.path().join(format!("{name}{ending}"));
        std::fs::write(file(".pem"), certificate.pem())?;
        std::fs::write(file(".key"), key.serialize_pem())?;
        Ok((file(".pem"), file(".key")))
    }
}
