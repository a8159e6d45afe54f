//! The workload's identity under the names that Istio's SDS gives it.

use citadel::{Credentials, Identity};
use std::sync::Arc;
use tokio::sync::watch;
use xds::sds::{Secret, SecretSource};

/// `default` is the certificate with its key, `ROOTCA` the mesh's roots.
pub struct Secrets(pub Identity);

impl SecretSource for Secrets {
    type Change = Option<Arc<Credentials>>;

    fn secret(&self, name: &str) -> Option<Secret> {
        let credentials = self.0.current()?;
        match name {
            "default" => Some(Secret::KeyPair { chain: credentials.chain_pem(), key: credentials.key_pem() }),
            "ROOTCA" => Some(Secret::Roots(credentials.roots_pem())),
            _ => None,
        }
    }

    fn changes(&self) -> watch::Receiver<Self::Change> {
        self.0.changes()
    }
}
