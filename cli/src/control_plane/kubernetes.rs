//! The control plane in a Kubernetes cluster: objects, identities and status by the API server, several replicas of which
//! one leads.

use super::args::{KubernetesArgs, SharedArgs};
use super::serve::{Parts, serve};
use anyhow::Context;
use citadel::ca::CertificateAuthority;
use citadel::spiffe::TrustDomain;
use kube::config::KubeConfigOptions;
use pilot::world::Mesh;
use pilot::{Pilot, PilotOptions, SourceOptions};
use record::Metrics;
use std::sync::Arc;

/// Set in every pod: where its API server is.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

pub(super) async fn run(shared: SharedArgs, args: KubernetesArgs) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    metrics.watch_process();
    let trust_domain: TrustDomain = shared.trust_domain.parse()?;
    let config = cluster().await?;

    // Configuration and discovery, in a thread and with a client of its own.
    let mesh = Mesh {
        trust_domain: shared.trust_domain.as_str().into(),
        root_namespace: args.namespace.as_str().into(),
        ..Mesh::default()
    };
    let source = SourceOptions::Kubernetes(Box::new(config));
    let pilot = Pilot::start(PilotOptions { source, mesh }, &metrics)?;

    // Identity. The root lives as long as this process, and nobody can prove who they are by a token.
    let authority = CertificateAuthority::in_memory(trust_domain.clone())?;
    let authority = Arc::new(authority.with_max_ttl(shared.max_certificate_ttl));

    serve(shared, Parts { pilot, trust_domain, authority, certificates: None, metrics }).await
}

/// The way to the API server: as a pod is given it, else as kubectl would go.
async fn cluster() -> anyhow::Result<kube::Config> {
    if std::env::var_os(IN_A_POD).is_some() {
        return kube::Config::incluster().context(
            "this runs in a pod, but the way to the API server is not there; the pod needs its service account's token \
             (automountServiceAccountToken)",
        );
    }
    kube::Config::from_kubeconfig(&KubeConfigOptions::default()).await.context(
        "no API server: this does not run in a pod, and there is no usable kubeconfig; set KUBECONFIG, or use \
         --config-dir",
    )
}
