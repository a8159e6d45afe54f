//! The CA's certificate and key are there, and do not end soon.

use super::line::Line;
use crate::names::{OWN_CA, PLUGGED_IN_CA, ROOT_KEY, SYSTEM};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use x509_parser::pem::Pem;

/// Istio's names of what the Secret must hold.
const KEYS: [&str; 4] = ["ca-cert.pem", "ca-key.pem", ROOT_KEY, "cert-chain.pem"];
/// Certificates of which to check the end.
const CERTIFICATES: [&str; 2] = ["ca-cert.pem", ROOT_KEY];
const SOON_DAYS: i64 = 30;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

pub async fn check(client: &Client) -> Result<Vec<Line>, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
    for name in [PLUGGED_IN_CA, OWN_CA] {
        match secrets.get_opt(name).await {
            Ok(Some(secret)) => return Ok(vec![judge(name, &secret, Timestamp::now())]),
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
    let remedy = "see `kubectl logs --namespace meltemi-system deployment/meltemi`; the control plane makes the second when it starts";
    Ok(vec![Line::failed("authority", what, remedy)])
}

fn judge(name: &str, secret: &Secret, now: Timestamp) -> Line {
    let place = format!("Secret {SYSTEM}/{name}");
    let replace = format!("write the {place} anew, in the format of Istio's plug-in CA");
    let empty = std::collections::BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&empty);
    let missing: Vec<&str> =
        KEYS.into_iter().filter(|key| data.get(*key).is_none_or(|value| value.0.is_empty())).collect();
    if !missing.is_empty() {
        return Line::failed("authority", format!("the {place} lacks {}", missing.join(", ")), replace);
    }
    let mut first_end: Option<i64> = None;
    for key in CERTIFICATES {
        let Some(end) = data.get(key).and_then(|value| end_of(&value.0)) else {
            return Line::failed("authority", format!("{key} of the {place} holds no certificate"), replace);
        };
        first_end = Some(first_end.map_or(end, |first| first.min(end)));
    }
    let days = (first_end.unwrap_or(0) - now.as_second()).div_euclid(SECONDS_PER_DAY);
    let rotate = "plug in a new CA while the old root stays in root-cert.pem, as docs/kubernetes.md tells";
    match days {
        ..0 => Line::failed("authority", format!("the CA in the {place} ended {} days ago", -days), rotate),
        0..SOON_DAYS => Line::warning("authority", format!("the CA in the {place} ends in {days} days"), rotate),
        _ => Line::ok("authority", format!("{place}, good for {days} days")),
    }
}

/// When the first of the certificates in this PEM ends, in seconds since 1970.
fn end_of(pem: &[u8]) -> Option<i64> {
    let ends = Pem::iter_from_buffer(pem).map(|pem| {
        let pem = pem.ok()?;
        Some(pem.parse_x509().ok()?.validity().not_after.timestamp())
    });
    ends.collect::<Option<Vec<i64>>>()?.into_iter().min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::judge;
    use crate::check::line::Outcome;
    use citadel::ca::CertificateAuthority;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use k8s_openapi::jiff::{Timestamp, ToSpan};

    fn secret(root: &str) -> Secret {
        let value = |key: &str| if key.ends_with("key.pem") { "key" } else { root };
        let data = super::KEYS.into_iter().map(|key| (key.to_owned(), ByteString(value(key).into())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    fn root() -> String {
        let authority = CertificateAuthority::in_memory("cluster.local".parse().unwrap()).unwrap();
        authority.roots_pem().to_owned()
    }

    #[test]
    fn a_ca_is_judged_by_the_days_it_has_left() {
        let root = root();
        let end = Timestamp::from_second(super::end_of(root.as_bytes()).unwrap()).unwrap();
        let judged = |before: i64| judge("meltemi-ca", &secret(&root), end - (before * 24).hours());
        assert_eq!(judged(31).outcome, Outcome::Ok);
        assert_eq!(judged(29).what, "the CA in the Secret meltemi-system/meltemi-ca ends in 29 days");
        assert_eq!(judged(-2).what, "the CA in the Secret meltemi-system/meltemi-ca ended 2 days ago");
    }

    #[test]
    fn a_secret_without_its_parts_fails() {
        let mut secret = secret("no certificate");
        assert!(judge("cacerts", &secret, Timestamp::UNIX_EPOCH).what.contains("holds no certificate"));
        secret.data.as_mut().unwrap().remove("ca-key.pem");
        assert_eq!(
            judge("cacerts", &secret, Timestamp::UNIX_EPOCH).what,
            "the Secret meltemi-system/cacerts lacks ca-key.pem"
        );
    }
}
