//! The roots that the leader keeps in a ConfigMap of every namespace. They outlive the process: one that starts after a
//! change of the CA reads there which roots workloads still have certificates under, and for how long.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ObjectMeta;
use record::LogLimit;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{sleep, timeout};

use super::explain;
use crate::backoff::Backoff;
use crate::ca::CertificateAuthority;
use crate::credentials::{certificates, is_a_root};

/// The ConfigMap in every namespace.
pub const ROOTS_CONFIG_MAP: &str = "meltemi-ca-root-cert";
/// Its key; PEM.
pub const ROOTS_KEY: &str = "root-cert.pem";

/// Until when roots that are not the CA's own stand there; RFC 3339.
const UNTIL: &str = "meltemi.io/former-roots-until";
const DEADLINE: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What the ConfigMap needs beside the roots of this CA, for who reads it later.
pub fn roots_annotations(ca: &CertificateAuthority) -> BTreeMap<String, String> {
    let until = ca.beside_until().and_then(|until| OffsetDateTime::from(until).format(&Rfc3339).ok());
    until.map(|until| (UNTIL.to_owned(), until)).into_iter().collect()
}

/// What was published before this process started.
#[derive(Debug, Default)]
pub(super) struct Published {
    roots: Vec<CertificateDer<'static>>,
    until: Option<SystemTime>,
}

impl Published {
    /// Reads the ConfigMap of the control plane's namespace, however long the API server takes to answer: without it,
    /// workloads that have certificates of a former CA could be locked out.
    pub(super) async fn read(client: &kube::Client, namespace: &str) -> Self {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let (mut backoff, failing) = (Backoff::new(), LogLimit::new(Duration::from_secs(30)));
        loop {
            let answer = timeout(DEADLINE, api.get_opt(ROOTS_CONFIG_MAP)).await;
            let answer = answer.map_err(|_| format!("no answer of the API server within {DEADLINE:?}"));
            let reason = match answer.and_then(|answer| answer.map_err(|error| explain(&error))) {
                Ok(map) => return map.map(Self::from).unwrap_or_default(),
                Err(reason) => reason,
            };
            if let Some(left_out) = failing.admit() {
                let map = format!("{namespace}/{ROOTS_CONFIG_MAP}");
                tracing::warn!(left_out, "cannot start before the roots in ConfigMap {map} can be read: {reason}");
            }
            sleep(backoff.wait(LONGEST_WAIT)).await;
        }
    }

    /// Whether this CA's root still has to spread, and workloads trust the former one: then that one signs for a while.
    pub(super) fn spreads(&self, ca: &CertificateAuthority, former: &CertificateAuthority, max_ttl: Duration) -> bool {
        let known = |ca: &CertificateAuthority| ca.roots().iter().any(|root| self.roots.contains(root));
        let young = self.until.is_some_and(|until| until > SystemTime::now() + max_ttl);
        known(former) && (!known(ca) || young)
    }

    /// This CA, with the roots that it does not know beside its own. When nothing says until when, workloads may have been
    /// given certificates under them until now.
    pub(super) fn beside(self, ca: CertificateAuthority, max_ttl: Duration) -> CertificateAuthority {
        let now = SystemTime::now();
        // The first root is of the CA that signed. Another one may have signed until now, whatever is said there.
        let same = self.roots.first().is_some_and(|first| ca.roots().contains(first));
        let until = self.until.filter(|_| same).unwrap_or(now + max_ttl);
        if until <= now || self.roots.iter().all(|root| ca.roots().contains(root)) {
            return ca;
        }
        tracing::info!(until = %OffsetDateTime::from(until), "roots of a former CA are trusted as well");
        ca.trusting_until(&self.roots, until)
    }
}

impl From<ConfigMap> for Published {
    fn from(map: ConfigMap) -> Self {
        let ConfigMap { metadata: ObjectMeta { annotations, .. }, data, .. } = map;
        let text = data.unwrap_or_default().remove(ROOTS_KEY).unwrap_or_default();
        let mut roots = certificates(ROOTS_KEY, &text).unwrap_or_else(|error| {
            tracing::warn!("ConfigMap {ROOTS_CONFIG_MAP} tells of no former roots: {error}");
            Vec::new()
        });
        roots.retain(is_a_root);
        let until = annotations.and_then(|annotations| OffsetDateTime::parse(annotations.get(UNTIL)?, &Rfc3339).ok());
        Self { roots, until: until.map(SystemTime::from) }
    }
}
