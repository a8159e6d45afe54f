//! TLS configurations by what they are for: each is asked of Citadel once and kept, for they read the current
//! certificate at every handshake.

use std::collections::HashMap;
use std::sync::Arc;

use citadel::client::Identity;
use citadel::spiffe::TrustDomain;
use citadel::tls::{ClientAuth, PeerNames, Roots};
use parking_lot::RwLock;
use rustls::{ClientConfig, ServerConfig};

use crate::http2::multiplex;
use crate::model::{DownstreamTls, UpstreamTls};

/// What a client offers when it knows better than its cluster's configuration what it will speak: names that Istio's
/// sidecars understand, best first.
pub type Alpn = &'static [&'static str];

/// For HTTP/1.1 inside mTLS.
pub const ISTIO_HTTP1: Alpn = &["istio-http/1.1", "istio", "http/1.1"];
/// For HTTP/1.1 inside mTLS, multiplexed if the peer can.
pub const MULTIPLEXED: Alpn = &[multiplex::ALPN, "istio-http/1.1", "istio", "http/1.1"];
/// For HTTP/2 inside mTLS.
pub const ISTIO_HTTP2: Alpn = &["istio-h2", "istio", "h2"];
/// For anything else inside mTLS.
pub const ISTIO_TCP: Alpn = &["istio-peer-exchange", "istio"];

/// The listener's settings and the protocol chosen among the client's offers.
type ServerKey = (DownstreamTls, Option<Box<str>>);
/// The cluster's settings and what is offered in place of its own.
type ClientKey = (Arc<UpstreamTls>, Option<Alpn>);

/// The configurations of a process.
pub struct TlsConfigs {
    identity: Identity,
    trust_domain: Option<TrustDomain>,
    servers: RwLock<HashMap<ServerKey, Arc<ServerConfig>>>,
    clients: RwLock<HashMap<ClientKey, Arc<ClientConfig>>>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Citadel refused.
    #[error("cannot set up TLS: {0}")]
    Citadel(#[from] citadel::tls::TlsError),
    /// A name in the configuration is none.
    #[error("{0:?} is not a trust domain")]
    TrustDomain(Box<str>),
}

impl TlsConfigs {
    /// Nothing is built yet.
    pub fn new(identity: Identity, trust_domain: &str) -> Self {
        Self {
            identity,
            trust_domain: trust_domain.parse().ok(),
            servers: RwLock::default(),
            clients: RwLock::default(),
        }
    }

    /// For a connection from a downstream peer that offers `alpn`. Without an offer of ours among them none is
    /// negotiated and the connection goes on, as with Envoy. Where HTTP is served to proved clients, one of ours may
    /// multiplex.
    ///
    /// # Errors
    /// A trust domain that is none.
    pub fn server(&self, tls: &DownstreamTls, alpn: &[String], http: bool) -> Result<Arc<ServerConfig>, TlsError> {
        let chosen = if http && tls.require_client_certificate && alpn.iter().any(|offer| offer == multiplex::ALPN) {
            Some(multiplex::ALPN.into())
        } else {
            tls.alpn.iter().find(|ours| alpn.iter().any(|theirs| **theirs == ***ours)).cloned()
        };
        let key = (tls.clone(), chosen);
        if let Some(config) = self.servers.read().get(&key) {
            return Ok(config.clone());
        }
        let client_auth = if tls.require_client_certificate { ClientAuth::Required } else { ClientAuth::Optional };
        let offered: Vec<&[u8]> = key.1.iter().map(|name| name.as_bytes()).collect();
        let config =
            citadel::tls::server(&self.identity, client_auth, &self.trust_domains(&tls.trust_domains)?, &offered)?;
        self.servers.write().insert(key, config.clone());
        Ok(config)
    }

    /// For connections to an upstream; `alpn` replaces the offer of a mesh cluster.
    ///
    /// # Errors
    /// A CA file that cannot be read.
    pub fn client(&self, tls: &Arc<UpstreamTls>, alpn: Option<Alpn>) -> Result<Arc<ClientConfig>, TlsError> {
        let key = (tls.clone(), alpn.filter(|_| tls.mutual));
        if let Some(config) = self.clients.read().get(&key) {
            return Ok(config.clone());
        }
        let alpn: Vec<&[u8]> = match key.1 {
            Some(alpn) => alpn.iter().map(|name| name.as_bytes()).collect(),
            None => tls.alpn.iter().map(|name| name.as_bytes()).collect(),
        };
        let config = if tls.mutual {
            citadel::tls::client(&self.identity, self.peer_names(tls)?, &alpn)?
        } else {
            {
                let roots = tls.ca_file.as_deref().map_or(Roots::System, |file| Roots::File(file.into()));
                let names: Vec<String> = tls.peer_names.iter().map(|name| name.to_string()).collect();
                citadel::tls::simple_client(&roots, &names, &alpn)?
            }
        };
        self.clients.write().insert(key, config.clone());
        Ok(config)
    }

    fn peer_names(&self, tls: &UpstreamTls) -> Result<PeerNames, TlsError> {
        if !tls.peer_names.is_empty() {
            return Ok(PeerNames::Exact(tls.peer_names.iter().map(|name| name.to_string()).collect()));
        }
        Ok(PeerNames::TrustDomain(self.trust_domains(&tls.trust_domains)?))
    }

    fn trust_domains(&self, names: &[Box<str>]) -> Result<Vec<TrustDomain>, TlsError> {
        if names.is_empty() {
            return Ok(self.trust_domain.iter().cloned().collect());
        }
        names.iter().map(|name| name.parse().map_err(|_| TlsError::TrustDomain(name.clone()))).collect()
    }
}
