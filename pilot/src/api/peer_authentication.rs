//! `security.istio.io/v1` PeerAuthentication (istio/api security/v1beta1/peer_authentication.proto).
#![allow(missing_docs, reason = "the fields are those of the API; their meaning is documented there and in the model")]

use super::MatchLabels;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PeerAuthenticationSpec {
    pub selector: Option<MatchLabels>,
    pub mtls: Option<MutualTls>,
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MutualTls {
    pub mode: Option<String>,
}
