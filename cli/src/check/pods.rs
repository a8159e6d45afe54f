//! Pods as the checks see them: what of a pod has to do with its sidecar.

use crate::cluster;
use crate::names::{REVISION, SIDECAR};
use crate::pod_trouble::{self, Trouble};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};

/// Asks for another image than the mesh's.
const OWN_IMAGE: &str = "sidecar.istio.io/proxyImage";

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    pub namespace: String,
    pub name: String,
    /// All its containers have ended for good.
    pub ended: bool,
    /// The revision that injected it.
    pub revision: Option<String>,
    pub sidecar: Option<Sidecar>,
    pub trouble: Option<Trouble>,
}

/// A pod's sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    pub ready: bool,
    pub image: String,
    /// The pod's author chose the image.
    pub own_image: bool,
}

impl PodFacts {
    /// `namespace/name`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Of every pod of the cluster what `take` makes of it.
pub async fn read<T>(client: &Client, take: impl FnMut(Pod) -> T) -> Result<Vec<T>, kube::Error> {
    cluster::list(Api::<Pod>::all(client.clone()), ListParams::default(), take).await
}

/// What matters of one pod.
pub fn facts(pod: &Pod) -> PodFacts {
    let annotations = pod.metadata.annotations.clone().unwrap_or_default();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    PodFacts {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        revision: annotations.get(REVISION).cloned(),
        ended: matches!(phase, "Succeeded" | "Failed"),
        sidecar: sidecar(pod, annotations.contains_key(OWN_IMAGE)),
        trouble: pod_trouble::of(pod),
    }
}

fn sidecar(pod: &Pod, own_image: bool) -> Option<Sidecar> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let container = containers.find(|container| container.name == SIDECAR)?;
    let status = pod.status.as_ref();
    let of_init = status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let of_others = status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ready = of_init.chain(of_others).any(|status| status.name == SIDECAR && status.ready);
    Some(Sidecar { ready, image: container.image.clone().unwrap_or_default(), own_image })
}
