//! One server configuration per ALPN answer. rustls refuses a client whose offers do not overlap a non-empty list,
//! Envoy goes on without ALPN; with a configuration chosen by what the client offers we go on as well.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::ClientHello;

/// The same configuration with another ALPN list. Cheap: certificates and verifiers are shared.
pub fn with_alpn(config: &ServerConfig, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = owned(alpn);
    Arc::new(config)
}

/// A configuration for each protocol that the server speaks, and one that answers none.
#[derive(Debug, Clone)]
pub struct AlpnConfigs {
    supported: Vec<(Vec<u8>, Arc<ServerConfig>)>,
    none: Arc<ServerConfig>,
}

impl AlpnConfigs {
    /// `supported` in the server's order of preference.
    pub fn new(config: &ServerConfig, supported: &[&[u8]]) -> Self {
        let one = |protocol: &&[u8]| (protocol.to_vec(), with_alpn(config, &[protocol]));
        Self { supported: supported.iter().map(one).collect(), none: with_alpn(config, &[]) }
    }

    /// The configuration for a client hello (from `tokio_rustls::LazyConfigAcceptor`).
    pub fn for_hello(&self, hello: &ClientHello<'_>) -> &Arc<ServerConfig> {
        match hello.alpn() {
            Some(offers) => self.for_offers(offers),
            None => &self.none,
        }
    }

    /// The first supported protocol that the client offers decides; the order of the offers does not.
    pub fn for_offers<'a>(&self, offers: impl IntoIterator<Item = &'a [u8]>) -> &Arc<ServerConfig> {
        let position = |offer: &[u8]| self.supported.iter().position(|(name, _)| name == offer);
        match offers.into_iter().filter_map(position).min() {
            Some(best) => &self.supported[best].1,
            None => &self.none,
        }
    }
}

pub(super) fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}
