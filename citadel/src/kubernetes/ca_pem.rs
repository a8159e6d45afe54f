//! The CA as data of a Secret: Istio's keys (`ca-cert.pem` and so on), or those of a `kubernetes.io/tls` Secret as
//! cert-manager writes them.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;

use crate::ca::{CaError, CaPem, CertificateAuthority};
use crate::spiffe::TrustDomain;

const CERTIFICATE: &str = "ca-cert.pem";
const KEY: &str = "ca-key.pem";
const CHAIN: &str = "cert-chain.pem";
const ROOTS: &str = "root-cert.pem";

/// The CA that a Secret holds.
pub(super) fn authority(secret: &Secret, trust_domain: &TrustDomain) -> Result<CertificateAuthority, CaError> {
    let names = if has(secret, CERTIFICATE) || !has(secret, "tls.crt") {
        [CERTIFICATE, KEY, CHAIN, ROOTS]
    } else {
        ["tls.crt", "tls.key", "tls.crt", "ca.crt"]
    };
    let [certificate, key, chain, roots] = names.map(|name| text(secret, name));
    let chain = if has(secret, names[2]) { chain? } else { "" };
    let pem = CaPem { certificate: certificate?, key: key?, chain, roots: roots? };
    CertificateAuthority::plugged_in(pem, trust_domain.clone())
}

/// A Secret with a new root and its key, as yet nowhere but here.
pub(super) fn generate(name: &str, trust_domain: &TrustDomain) -> Result<Secret, CaError> {
    let (root, key) = CertificateAuthority::generate(trust_domain)?;
    let data = [(CERTIFICATE, &root), (KEY, &*key), (CHAIN, &root), (ROOTS, &root)];
    let data = data.map(|(name, pem)| (name.to_owned(), ByteString(pem.clone().into_bytes())));
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([("app".to_owned(), "meltemi".to_owned())])),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from(data)),
        ..Secret::default()
    })
}

fn has(secret: &Secret, name: &str) -> bool {
    secret.data.as_ref().is_some_and(|data| data.contains_key(name))
}

fn text<'a>(secret: &'a Secret, name: &str) -> Result<&'a str, CaError> {
    let missing = || CaError::PluggedIn(format!("the key {name} is missing"));
    let data = secret.data.as_ref().and_then(|data| data.get(name)).ok_or_else(missing)?;
    std::str::from_utf8(&data.0).map_err(|_| CaError::PluggedIn(format!("{name}: it is no text")))
}
