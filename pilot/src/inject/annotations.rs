//! Every annotation and label of Istio's families that a pod may carry: what is not known, or known and without
//! effect here, is told to the author.

use super::Findings;
use super::decide::{INJECT, REVISION};
use crate::yaml::nearest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What an annotation is to the injector.
enum Use {
    /// It is read, or written by injectors.
    Known,
    /// It has no effect; the text says why, or what to use.
    NoEffect(&'static str),
}

const ENVOY: &str = "it configures Envoy";
const IMAGE_TYPE: &str = "there is one image; sidecar.istio.io/proxyImage names another";
const LEVELS: &str = "use sidecar.istio.io/logLevel";
const PROBED: &str = "the sidecar is ready when it has its configuration";

const ANNOTATIONS: &[(&str, Use)] = &[
    (INJECT, Use::Known),
    (REVISION, Use::Known),
    (super::STATUS, Use::Known),
    ("sidecar.istio.io/proxyImage", Use::Known),
    ("sidecar.istio.io/proxyCPU", Use::Known),
    ("sidecar.istio.io/proxyCPULimit", Use::Known),
    ("sidecar.istio.io/proxyMemory", Use::Known),
    ("sidecar.istio.io/proxyMemoryLimit", Use::Known),
    ("sidecar.istio.io/logLevel", Use::Known),
    ("sidecar.istio.io/interceptionMode", Use::Known),
    ("sidecar.istio.io/rewriteAppHTTPProbers", Use::Known),
    ("sidecar.istio.io/userVolume", Use::Known),
    ("sidecar.istio.io/userVolumeMount", Use::Known),
    ("sidecar.istio.io/nativeSidecar", Use::Known),
    ("sidecar.istio.io/discoveryAddress", Use::Known),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", Use::Known),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", Use::Known),
    ("traffic.sidecar.istio.io/includeInboundPorts", Use::Known),
    ("traffic.sidecar.istio.io/excludeInboundPorts", Use::Known),
    ("traffic.sidecar.istio.io/includeOutboundPorts", Use::Known),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", Use::Known),
    ("traffic.sidecar.istio.io/excludeInterfaces", Use::Known),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", Use::Known),
    ("istio.io/reroute-virtual-interfaces", Use::Known),
    ("status.sidecar.istio.io/port", Use::Known),
    ("readiness.status.sidecar.istio.io/initialDelaySeconds", Use::Known),
    ("readiness.status.sidecar.istio.io/periodSeconds", Use::Known),
    ("readiness.status.sidecar.istio.io/failureThreshold", Use::Known),
    ("readiness.status.sidecar.istio.io/applicationPorts", Use::NoEffect(PROBED)),
    ("proxy.istio.io/config", Use::Known),
    ("prometheus.istio.io/merge-metrics", Use::Known),
    ("inject.istio.io/templates", Use::Known),
    ("istio.io/dry-run", Use::NoEffect("it belongs on policies")),
    ("galley.istio.io/analyze-suppress", Use::Known),
    ("sidecar.istio.io/proxyImageType", Use::NoEffect(IMAGE_TYPE)),
    ("sidecar.istio.io/componentLogLevel", Use::NoEffect(LEVELS)),
    ("sidecar.istio.io/agentLogLevel", Use::NoEffect(LEVELS)),
    ("sidecar.istio.io/bootstrapOverride", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/controlPlaneAuthPolicy", Use::NoEffect("the control plane is always reached by TLS")),
    ("sidecar.istio.io/enableCoreDump", Use::NoEffect("the sidecar may write nowhere")),
    ("sidecar.istio.io/extraStatTags", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsInclusionPrefixes", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsInclusionSuffixes", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsInclusionRegexps", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsHistogramBuckets", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsHistogramBins", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsFlushInterval", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsEvictionInterval", Use::NoEffect(ENVOY)),
    ("sidecar.istio.io/statsCompression", Use::NoEffect(ENVOY)),
];

const LABELS: &[&str] = &[
    INJECT,
    REVISION,
    "istio.io/tag",
    "istio.io/dataplane-mode",
    "istio.io/use-waypoint",
    "istio.io/use-waypoint-namespace",
    "istio.io/waypoint-for",
    "istio.io/ingress-use-waypoint",
    "security.istio.io/tlsMode",
    "service.istio.io/canonical-name",
    "service.istio.io/canonical-revision",
    "service.istio.io/workload-name",
    "topology.istio.io/network",
    "topology.istio.io/cluster",
    "topology.istio.io/subzone",
    "networking.istio.io/tunnel",
    "gateway.istio.io/managed",
];

/// Notes each annotation and label of Istio's families that does nothing here.
pub(super) fn unknown(metadata: &ObjectMeta, findings: &mut Findings) {
    let ours = |name: &&String| is_of_istio(name);
    for name in metadata.annotations.iter().flat_map(|map| map.keys()).filter(ours) {
        match ANNOTATIONS.iter().find(|(known, _)| known == name) {
            Some((_, Use::Known)) => {}
            Some((_, Use::NoEffect(why))) => findings.warn(format!("annotation {name} has no effect: {why}")),
            None => findings.warn(unknown_annotation(name)),
        }
    }
    for name in metadata.labels.iter().flat_map(|map| map.keys()).filter(ours) {
        if !LABELS.contains(&name.as_str()) {
            findings.warn(unknown_label(name));
        }
    }
}

/// `istio.io/...` or `anything.istio.io/...`.
fn is_of_istio(name: &str) -> bool {
    let prefix = name.split_once('/').map_or("", |(prefix, _)| prefix);
    prefix == "istio.io" || prefix.ends_with(".istio.io")
}

fn unknown_annotation(name: &str) -> String {
    if LABELS.contains(&name) {
        return format!("annotation {name} has no effect: it is a label");
    }
    let known = ANNOTATIONS.iter().map(|(known, _)| *known);
    match suggestion(name, known) {
        Some(right) => format!("annotation {name} does not exist and has no effect; did you mean {right}?"),
        None => format!("annotation {name} is not known on a pod and has no effect"),
    }
}

fn unknown_label(name: &str) -> String {
    if ANNOTATIONS.iter().any(|(known, _)| *known == name) {
        return format!("label {name} has no effect: it is an annotation");
    }
    match suggestion(name, LABELS.iter().copied()) {
        Some(right) => format!("label {name} does not exist and has no effect; did you mean {right}?"),
        None => format!("label {name} is not known on a pod and has no effect"),
    }
}

/// The name that is meant, by a typing error or by the right name behind a wrong prefix.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    nearest(name, known.clone()).or_else(|| known.into_iter().find(|candidate| last(candidate) == last(name)))
}
