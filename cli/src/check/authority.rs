//! The CA's Secret holds what the control plane takes, was taken, and does not end soon.

use super::control_plane::LOGS;
use super::line::Line;
use super::roots::certificates;
use crate::install::rollout::ControlPlane;
use crate::names::{OWN_CA, PLUGGED_IN_CA, ROOT_KEY, ROOTS, SYSTEM};
use citadel::TrustDomain;
use citadel::ca::{CaPem, CertificateAuthority};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use std::time::UNIX_EPOCH;

/// What a Secret names certificate, key, chain and roots: Istio's names, and those of cert-manager.
const ISTIO: [&str; 4] = ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", ROOT_KEY];
const CERT_MANAGER: [&str; 4] = ["tls.crt", "tls.key", "tls.crt", "ca.crt"];
const SOON_DAYS: i64 = 30;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

pub async fn check(client: &Client, planes: &[ControlPlane]) -> Result<Vec<Line>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
    for name in [PLUGGED_IN_CA, OWN_CA] {
        match secrets.get_opt(name).await {
            Ok(Some(secret)) => {
                let trust_domain = planes.first().and_then(|plane| plane.trust_domain.parse().ok());
                let ca = read(&secret, trust_domain.unwrap_or_default());
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM);
                let trusted = maps.get_opt(ROOTS).await?.and_then(|map| map.data?.remove(ROOT_KEY));
                return Ok(vec![judge(name, &ca, trusted.as_deref(), Timestamp::now())]);
            }
            Ok(None) => {}
            // Whoever watches over a cluster need not be allowed to read the CA's key.
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let remedy = "run it with an account that may read the Secrets of meltemi-system";
                return Ok(vec![Line::warning("authority", format!("not looked at: {}", status.message), remedy)]);
            }
            Err(error) => return Err(error),
        }
    }
    let what = format!("there is neither a Secret {SYSTEM}/{PLUGGED_IN_CA} nor {SYSTEM}/{OWN_CA}");
    let remedy = format!("{LOGS}; the control plane makes the second when it starts");
    Ok(vec![Line::failed("authority", what, remedy)])
}

/// The CA of a Secret as the control plane would take it, or why it would not.
fn read(secret: &Secret, trust_domain: TrustDomain) -> Result<CertificateAuthority, String> {
    let value = |name: &str| secret.data.as_ref().and_then(|data| data.get(name));
    let text = |name: &str| {
        let value = value(name).ok_or_else(|| format!("the key {name} is missing"))?;
        std::str::from_utf8(&value.0).map_err(|_| format!("{name} is no text"))
    };
    let istio = value(ISTIO[0]).is_some() || value(CERT_MANAGER[0]).is_none();
    let [certificate, key, chain, roots] = if istio { ISTIO } else { CERT_MANAGER };
    // A CA that is a root itself needs none.
    let chain = if value(chain).is_some() { text(chain)? } else { "" };
    let pem = CaPem { certificate: text(certificate)?, key: text(key)?, chain, roots: text(roots)? };
    CertificateAuthority::plugged_in(pem, trust_domain).map_err(|error| error.to_string())
}

fn judge(name: &str, ca: &Result<CertificateAuthority, String>, trusted: Option<&str>, now: Timestamp) -> Line {
    let place = format!("Secret {SYSTEM}/{name}");
    let ca = match ca {
        Ok(ca) => ca,
        Err(reason) => {
            let remedy = format!("write the {place} anew, as docs/kubernetes.md tells; it is taken without a restart");
            return Line::failed("authority", format!("the {place} cannot be used: {reason}"), remedy);
        }
    };
    // Without that ConfigMap nothing has its roots, which the line on the roots tells.
    let trusted = trusted.map(|pem| certificates(pem.as_bytes()));
    if trusted.is_some_and(|trusted| !certificates(ca.roots_pem().as_bytes()).is_subset(&trusted)) {
        let what = format!("the {place} is not in force: its roots are not in the ConfigMap {SYSTEM}/{ROOTS}");
        return Line::failed("authority", what, format!("run it again in a moment; if it still says so, {LOGS}"));
    }
    let end = ca.not_after().duration_since(UNIX_EPOCH).map_or(0, |end| end.as_secs().cast_signed());
    let days = (end - now.as_second()).div_euclid(SECONDS_PER_DAY);
    let rotate = "plug in a new CA while the old root stays in root-cert.pem, as docs/kubernetes.md tells";
    match days {
        ..0 => Line::failed("authority", format!("the CA in the {place} ended {} days ago", -days), rotate),
        0..SOON_DAYS => Line::warning("authority", format!("the CA in the {place} ends in {days} days"), rotate),
        _ => Line::ok("authority", format!("{place}, good for {days} days")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{CERT_MANAGER, ISTIO, judge, read};
    use crate::check::line::{Line, Outcome};
    use citadel::TrustDomain;
    use citadel::ca::CertificateAuthority;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use k8s_openapi::jiff::{Timestamp, ToSpan};
    use std::time::UNIX_EPOCH;

    /// A root and its key.
    fn made() -> (String, String) {
        let (root, key) = CertificateAuthority::generate(&TrustDomain::default()).unwrap();
        (root, key.to_string())
    }

    fn secret(names: [&str; 4], root: &str, key: &str) -> Secret {
        let data = names.into_iter().map(|name| {
            let text = if name.contains("key") { key } else { root };
            (name.to_owned(), ByteString(text.into()))
        });
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    fn judged(secret: &Secret, trusted: &str) -> Line {
        judge("cacerts", &read(secret, TrustDomain::default()), Some(trusted), Timestamp::now())
    }

    #[test]
    fn a_ca_is_judged_by_the_days_it_has_left() {
        let (root, key) = made();
        let ca = read(&secret(ISTIO, &root, &key), TrustDomain::default());
        let end = ca.as_ref().unwrap().not_after().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let end = Timestamp::from_second(end.try_into().unwrap()).unwrap();
        let judged = |before: i64| judge("meltemi-ca", &ca, Some(&root), end - (before * 24).hours());
        assert_eq!(judged(31).outcome, Outcome::Ok);
        assert_eq!(judged(29).what, "the CA in the Secret meltemi-system/meltemi-ca ends in 29 days");
        assert_eq!(judged(-2).what, "the CA in the Secret meltemi-system/meltemi-ca ended 2 days ago");
    }

    #[test]
    fn a_ca_as_cert_manager_writes_it_is_fine_and_so_is_one_without_a_chain() {
        let (root, key) = made();
        assert_eq!(judged(&secret(CERT_MANAGER, &root, &key), &root).outcome, Outcome::Ok);
        let mut bare = secret(ISTIO, &root, &key);
        bare.data.as_mut().unwrap().remove("cert-chain.pem");
        assert_eq!(judged(&bare, &root).outcome, Outcome::Ok);
    }

    #[test]
    fn a_ca_that_the_control_plane_refuses_fails_with_the_reason() {
        let ((root, key), (_, other_key)) = (made(), made());
        let line = judged(&secret(ISTIO, &root, &other_key), &root);
        assert_eq!(line.outcome, Outcome::Failed);
        assert!(line.what.contains("cannot be used: ca-cert.pem: ca-key.pem is not its private key"), "{}", line.what);
        let mut lacking = secret(ISTIO, &root, &key);
        lacking.data.as_mut().unwrap().remove("ca-key.pem");
        let what = judged(&lacking, &root).what;
        assert_eq!(what, "the Secret meltemi-system/cacerts cannot be used: the key ca-key.pem is missing");
    }

    #[test]
    fn a_ca_whose_roots_nobody_trusts_is_not_in_force() {
        let ((root, key), (former, _)) = (made(), made());
        let line = judged(&secret(ISTIO, &root, &key), &former);
        assert_eq!(line.outcome, Outcome::Failed);
        assert!(line.what.contains("is not in force: its roots are not in the ConfigMap"), "{}", line.what);
        assert_eq!(judged(&secret(ISTIO, &root, &key), &(former + &root)).outcome, Outcome::Ok);
    }
}
