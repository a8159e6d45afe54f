//! What the sidecar reads: the token that proves its service account to the CA, and the mesh's roots.

use super::patch::Edits;
use super::settings::Settings;
use super::{Findings, InjectorConfig, Subject};
use serde_json::{Value, json};

const TOKEN: &str = "istio-token";
const ROOTS: &str = "istiod-ca-cert";
/// The CA takes no token for another audience.
const AUDIENCE: &str = "istio-ca";
/// Life of the token; the kubelet renews it long before.
const TOKEN_SECONDS: u32 = 12 * 60 * 60;

/// The names of the volumes that every injected pod gets.
pub(super) const NAMES: [&str; 2] = [TOKEN, ROOTS];

/// The sidecar's mounts, those of its pod's author last.
pub(super) fn mounts(settings: &Settings) -> Vec<Value> {
    let ours = [
        json!({ "name": TOKEN, "mountPath": "/var/run/secrets/tokens", "readOnly": true }),
        json!({ "name": ROOTS, "mountPath": "/var/run/secrets/istio", "readOnly": true }),
    ];
    ours.into_iter().chain(settings.user_mounts.iter().cloned()).collect()
}

/// Adds the volumes, and the Secrets that images are pulled with.
///
/// Istio also sets `fsGroup: 1337` where there is none, so that its proxy can read the token. That is not done here, for
/// it would change the group of every file in the application's volumes. The kubelet makes the token readable for
/// everybody in the pod's containers as long as they do not all run as one user, and the container that sets the rules
/// runs as root; where the author set an `fsGroup`, the token belongs to that group, of which every container is.
pub(super) fn add(
    subject: &Subject<'_>,
    config: &InjectorConfig,
    settings: &Settings,
    edits: &mut Edits,
    findings: &mut Findings,
) {
    let spec = subject.spec();
    for volume in spec.volumes.iter().flatten().filter(|volume| NAMES.contains(&volume.name.as_str())) {
        findings.refuse(format!("volume {} has a name that the sidecar needs; give it another one", volume.name));
    }
    let token =
        json!({ "serviceAccountToken": { "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": TOKEN } });
    let mut added = vec![
        json!({ "name": TOKEN, "projected": { "sources": [token] } }),
        json!({ "name": ROOTS, "configMap": { "name": config.root_config_map } }),
    ];
    added.extend(settings.user_volumes.iter().cloned());
    edits.append(&["spec", "volumes"], spec.volumes.is_some(), added);

    let known: Vec<&str> = spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).collect();
    let missing = config.image_pull_secrets.iter().filter(|name| !known.contains(&name.as_str()));
    let missing = missing.map(|name| json!({ "name": name })).collect();
    edits.append(&["spec", "imagePullSecrets"], spec.image_pull_secrets.is_some(), missing);
}
