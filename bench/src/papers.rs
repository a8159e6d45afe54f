//! Certificates for proxies that are set up by hand: one authority, one certificate for each side, P-256 as the mesh has.

use crate::peers::Side;
use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with `ca.pem`, and for each side one file that holds certificate and key.
#[derive(Debug, Clone)]
pub struct Papers {
    folder: PathBuf,
}

impl Papers {
    /// The name in the server's certificate, which the client verifies.
    pub const SERVER: &str = "server.bench";
    const CLIENT: &str = "client.bench";

    /// Makes them all.
    ///
    /// # Errors
    /// When they cannot be signed or written.
    pub fn make(folder: &Path) -> anyhow::Result<Papers> {
        let mut authority = CertificateParams::new(Vec::new())?;
        // A leaf with the same name as its issuer would pass for self-signed.
        authority.distinguished_name.push(DnType::CommonName, "bench authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let papers = Papers { folder: folder.to_owned() };
        write(&papers.ca(), &authority.pem())?;
        for (side, name, usage) in [
            (Side::Client, Papers::CLIENT, ExtendedKeyUsagePurpose::ClientAuth),
            (Side::Server, Papers::SERVER, ExtendedKeyUsagePurpose::ServerAuth),
        ] {
            let mut leaf = CertificateParams::new(vec![name.to_owned()])?;
            leaf.extended_key_usages = vec![usage];
            let key = KeyPair::generate()?;
            let leaf = leaf.signed_by(&key, &authority)?;
            write(&papers.pem(side), &(leaf.pem() + &key.serialize_pem()))?;
        }
        Ok(papers)
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Certificate and key of one side.
    pub fn pem(&self, side: Side) -> PathBuf {
        self.folder.join(match side {
            Side::Client => "client.pem",
            Side::Server => "server.pem",
        })
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
