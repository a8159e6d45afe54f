//! Whether a pod gets a sidecar: Istio's labels and annotations, in Istio's order.

use super::{InjectorConfig, PROXY, STATUS};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use std::collections::BTreeMap;
use std::fmt;

/// Asks for a sidecar or refuses it: a label of a pod, or an old annotation.
pub(super) const INJECT: &str = "sidecar.istio.io/inject";
/// Names the control plane that should inject: a label of a namespace or of a pod.
pub(super) const REVISION: &str = "istio.io/rev";
/// Label of namespaces.
const NAMESPACE_INJECTION: &str = "istio-injection";
/// Written by the kubelet on its copies of static pods.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The revision that `istio-injection: enabled` and `sidecar.istio.io/inject: "true"` mean.
const DEFAULT_REVISION: &str = "default";
/// Kubernetes' own namespaces (Istio's list).
const SYSTEM_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// The namespace of a pod.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// Name.
    pub name: String,
    /// Labels as far as they are known.
    pub labels: BTreeMap<String, String>,
    /// The labels were judged already, by the API server's selectors or by a person who wants this very pod injected.
    pub selected: bool,
}

/// Whether a pod gets a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It does.
    Inject,
    /// It does not.
    Leave(Reason),
}

/// Why a pod gets no sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `hostNetwork: true`.
    HostNetwork,
    /// A pod of Windows.
    Windows,
    /// The API server's copy of a static pod.
    Mirror,
    /// Its namespace belongs to Kubernetes or to the control plane itself.
    SystemNamespace(String),
    /// It has a sidecar.
    AlreadyInjected,
    /// `sidecar.istio.io/inject: "false"`.
    Declined,
    /// The namespace's `istio-injection` is this, and not `enabled`.
    NamespaceDeclined(String),
    /// It belongs to the control plane of this revision.
    OtherRevision(String),
    /// Neither the namespace nor the pod asks for one.
    NotAsked,
}

/// Decides by the pod, and, unless somebody did that already, by the labels of its namespace.
pub fn decide(pod: &Pod, namespace: &Namespace, config: &InjectorConfig) -> Decision {
    let reason = by_nature(pod, namespace, config).or_else(|| by_wish(pod, namespace, config));
    reason.map_or(Decision::Inject, Decision::Leave)
}

/// Pods that no wish gives a sidecar.
fn by_nature(pod: &Pod, namespace: &Namespace, config: &InjectorConfig) -> Option<Reason> {
    let annotations = pod.metadata.annotations.as_ref();
    let annotated = |name: &str| annotations.is_some_and(|annotations| annotations.contains_key(name));
    let spec = pod.spec.as_ref();
    if spec.is_some_and(|spec| spec.host_network == Some(true)) {
        return Some(Reason::HostNetwork);
    }
    if spec.is_some_and(is_windows) {
        return Some(Reason::Windows);
    }
    if annotated(MIRROR) {
        return Some(Reason::Mirror);
    }
    let system = SYSTEM_NAMESPACES.contains(&namespace.name.as_str())
        || config.control_plane_namespace() == Some(namespace.name.as_str());
    if system {
        return Some(Reason::SystemNamespace(namespace.name.clone()));
    }
    // The annotation alone is not enough: it comes along when a pod's metadata is copied into a template.
    let injected = annotated(STATUS) && spec.is_some_and(|spec| all(spec).any(|container| container.name == PROXY));
    injected.then_some(Reason::AlreadyInjected)
}

fn all(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

fn is_windows(spec: &PodSpec) -> bool {
    let selected = spec.node_selector.as_ref().and_then(|selector| selector.get("kubernetes.io/os"));
    spec.os.as_ref().map(|os| &os.name).or(selected).is_some_and(|os| os == "windows")
}

fn by_wish(pod: &Pod, namespace: &Namespace, config: &InjectorConfig) -> Option<Reason> {
    if wish(pod) == Some("false") {
        return Some(Reason::Declined);
    }
    if namespace.selected {
        return None;
    }
    let other = |wanted: &str| (wanted != config.revision).then(|| Reason::OtherRevision(wanted.to_owned()));
    let label = |name: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
    let of_namespace = |name: &str| namespace.labels.get(name).map(String::as_str);
    match (of_namespace(NAMESPACE_INJECTION), of_namespace(REVISION)) {
        (Some("enabled"), _) => other(DEFAULT_REVISION),
        (Some(value), _) => Some(Reason::NamespaceDeclined(value.to_owned())),
        (None, Some(revision)) => other(revision),
        (None, None) => match (label(REVISION), label(INJECT)) {
            (Some(revision), _) => other(revision),
            (None, Some("true")) => other(DEFAULT_REVISION),
            (None, _) => Some(Reason::NotAsked),
        },
    }
}

/// What the pod says of `sidecar.istio.io/inject`; the label beats the annotation.
pub(super) fn wish(pod: &Pod) -> Option<&str> {
    let labels = pod.metadata.labels.as_ref().and_then(|labels| labels.get(INJECT));
    let annotations = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(INJECT));
    labels.or(annotations).map(String::as_str)
}

impl Reason {
    /// Whether the pod's author may have expected a sidecar and should be told.
    pub fn is_surprising(&self) -> bool {
        matches!(self, Self::HostNetwork | Self::Windows)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no sidecar: ")?;
        match self {
            Self::HostNetwork => f.write_str(
                "the pod uses its node's network (hostNetwork: true), and redirect rules there would catch every \
                 program of the node; the pod is not part of the mesh",
            ),
            Self::Windows => f.write_str("the pod is for Windows nodes, for which there is no sidecar"),
            Self::Mirror => {
                f.write_str("the pod is the copy of a static pod, which only its node's kubelet can change")
            }
            Self::SystemNamespace(name) => {
                write!(f, "namespace {name} belongs to the cluster or to the control plane itself")
            }
            Self::AlreadyInjected => f.write_str("the pod has one already"),
            Self::Declined => write!(f, "the pod says {INJECT}: \"false\""),
            Self::NamespaceDeclined(value) => write!(f, "the namespace says {NAMESPACE_INJECTION}: {value}"),
            Self::OtherRevision(revision) => {
                write!(f, "revision {revision} is asked for, which is not that of this control plane")
            }
            Self::NotAsked => write!(
                f,
                "neither the namespace ({NAMESPACE_INJECTION}: enabled, {REVISION}) nor the pod ({INJECT}: \"true\") \
                 asks for one"
            ),
        }
    }
}
