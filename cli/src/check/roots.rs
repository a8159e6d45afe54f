//! Every namespace has the mesh's roots: without them a pod with a sidecar does not start, or trusts nobody.

use super::control_plane::LOGS;
use super::line::{Line, some};
use crate::cluster;
use crate::names::{ROOT_KEY, ROOTS, SYSTEM};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, ListParams};
use std::collections::{BTreeMap, BTreeSet};
use x509_parser::pem::Pem;

/// The roots in each namespace that has them, as PEM.
pub async fn read(client: &Client) -> Result<BTreeMap<String, String>, kube::Error> {
    let named = ListParams::default().fields(&format!("metadata.name={ROOTS}"));
    let maps = cluster::list(Api::<ConfigMap>::all(client.clone()), named, |map| {
        let text = map.data.unwrap_or_default().remove(ROOT_KEY).unwrap_or_default();
        (map.metadata.namespace.unwrap_or_default(), text)
    });
    Ok(maps.await?.into_iter().collect())
}

/// The certificates of a PEM text, however its lines are broken.
pub fn certificates(pem: &[u8]) -> BTreeSet<Vec<u8>> {
    Pem::iter_from_buffer(pem).filter_map(|pem| pem.ok()).map(|pem| pem.contents).collect()
}

pub async fn check(client: &Client) -> Result<Vec<Line>, kube::Error> {
    let namespaces = cluster::list(Api::<Namespace>::all(client.clone()), ListParams::default(), |namespace| {
        let going = namespace.metadata.deletion_timestamp.is_some();
        namespace.metadata.name.filter(|_| !going)
    });
    let namespaces: Vec<String> = namespaces.await?.into_iter().flatten().collect();
    Ok(vec![judge(&namespaces, &read(client).await?)])
}

fn logs() -> String {
    format!("{LOGS}; the leader writes them")
}

fn judge(namespaces: &[String], roots: &BTreeMap<String, String>) -> Line {
    let Some(right) = roots.get(SYSTEM).filter(|text| !text.is_empty()) else {
        return Line::failed("roots", format!("there is no ConfigMap {SYSTEM}/{ROOTS} with roots"), logs());
    };
    let without: Vec<String> = namespaces.iter().filter(|name| !roots.contains_key(*name)).cloned().collect();
    if !without.is_empty() {
        return Line::failed("roots", format!("namespaces without the ConfigMap {ROOTS}: {}", some(&without)), logs());
    }
    let other: Vec<String> = namespaces.iter().filter(|name| roots.get(*name) != Some(right)).cloned().collect();
    if !other.is_empty() {
        return Line::failed("roots", format!("namespaces with other roots than {SYSTEM}: {}", some(&other)), logs());
    }
    Line::ok("roots", format!("all {} namespaces have the mesh's roots", namespaces.len()))
}

#[cfg(test)]
mod tests {
    use super::judge;
    use std::collections::BTreeMap;

    fn roots(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn namespaces_without_roots_or_with_others_are_named() {
        let namespaces = ["meltemi-system".to_owned(), "shop".to_owned()];
        let judged = |pairs: &[(&str, &str)]| judge(&namespaces, &roots(pairs)).what;
        assert_eq!(judged(&[("meltemi-system", "A"), ("shop", "A")]), "all 2 namespaces have the mesh's roots");
        assert_eq!(judged(&[("meltemi-system", "A")]), "namespaces without the ConfigMap meltemi-ca-root-cert: shop");
        assert_eq!(
            judged(&[("meltemi-system", "A"), ("shop", "B")]),
            "namespaces with other roots than meltemi-system: shop"
        );
        assert!(judged(&[("shop", "B")]).contains("there is no ConfigMap meltemi-system/"));
    }
}
