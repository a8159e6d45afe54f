//! `gateway.networking.k8s.io/v1` ReferenceGrant (Gateway API v1.6 apis/v1/referencegrant_types.go).
#![allow(missing_docs, reason = "the fields are those of the API; their meaning is documented there and in the model")]

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReferenceGrantSpec {
    pub from: Vec<GrantFromSpec>,
    pub to: Vec<GrantToSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GrantFromSpec {
    pub group: String,
    pub kind: String,
    pub namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GrantToSpec {
    pub group: String,
    pub kind: String,
    pub name: Option<String>,
}
