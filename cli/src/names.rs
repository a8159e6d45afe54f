//! What Meltemi's objects in a cluster are called. Those of a revision have its name as a suffix, as in the chart; the
//! revision "default" has none.

/// The namespace of the control plane.
pub const SYSTEM: &str = "meltemi-system";
/// The Helm release and chart of the definitions, and the value of their label `app.kubernetes.io/name`.
pub const CRDS: &str = "meltemi-crds";
/// The chart of the control plane.
pub const CHART: &str = "meltemi";
/// The revision that `istio-injection: enabled` means, too.
pub const DEFAULT_REVISION: &str = "default";
/// The ConfigMap of every namespace with the mesh's root certificates.
pub const ROOTS: &str = "meltemi-ca-root-cert";
/// Its key, and that of the CA's Secrets.
pub const ROOT_KEY: &str = "root-cert.pem";
/// The Lease of the leader.
pub const LEASE: &str = "meltemi-leader";
/// The CA's Secret that the control plane makes when it finds no other.
pub const OWN_CA: &str = "meltemi-ca";
/// The CA's Secret that a person makes, in Istio's format.
pub const PLUGGED_IN_CA: &str = "cacerts";
/// Label of control planes, of all revisions.
pub const APP: &str = "app=meltemi";
/// Label of pods, namespaces and webhooks: the revision. Annotation of pods: the revision that injected them.
pub const REVISION: &str = "istio.io/rev";
/// Label of namespaces: whether their pods are injected.
pub const INJECTION: &str = "istio-injection";
/// Name of the sidecar's container.
pub const SIDECAR: &str = "istio-proxy";

/// Deployment, Service, ServiceAccount and Helm release of a control plane.
pub fn control_plane(revision: &str) -> String {
    if revision == DEFAULT_REVISION { CHART.to_owned() } else { format!("{CHART}-{revision}") }
}

/// The webhook configuration that adds sidecars.
pub fn injector(revision: &str) -> String {
    format!("{}-injector", control_plane(revision))
}

/// The webhook configuration that refuses objects that cannot work.
pub fn validator(revision: &str) -> String {
    format!("{}-validator", control_plane(revision))
}
