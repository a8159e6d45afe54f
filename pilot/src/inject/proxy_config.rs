//! The annotation `proxy.istio.io/config`: Istio's ProxyConfig as YAML, of which a sidecar of ours has a few fields.

use super::Findings;
use crate::yaml::{Node, Value, nearest, parse, read};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The annotation.
pub(super) const ANNOTATION: &str = "proxy.istio.io/config";

/// The fields that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ProxyConfig {
    pub(super) concurrency: Option<u32>,
    pub(super) termination_drain_duration: Option<String>,
    pub(super) hold_application_until_proxy_starts: Option<bool>,
    pub(super) proxy_metadata: BTreeMap<String, String>,
    pub(super) discovery_address: Option<String>,
    pub(super) interception_mode: Option<String>,
    pub(super) status_port: Option<u16>,
}

const READ: [&str; 7] = [
    "concurrency",
    "terminationDrainDuration",
    "holdApplicationUntilProxyStarts",
    "proxyMetadata",
    "discoveryAddress",
    "interceptionMode",
    "statusPort",
];

/// Fields of Istio's ProxyConfig that do nothing here.
const NO_EFFECT: &[&str] = &[
    "availabilityZone",
    "binaryPath",
    "caCertificatesPem",
    "configPath",
    "controlPlaneAuthPolicy",
    "customConfigFile",
    "drainDuration",
    "envoyAccessLogService",
    "envoyMetricsService",
    "envoyMetricsServiceAddress",
    "extraStatTags",
    "fileFlushInterval",
    "fileFlushMinSizeKb",
    "gatewayTopology",
    "image",
    "meshId",
    "parentShutdownDuration",
    "privateKeyProvider",
    "proxyAdminPort",
    "proxyBootstrapTemplatePath",
    "proxyHeaders",
    "proxyStatsMatcher",
    "readinessProbe",
    "runtimeValues",
    "sds",
    "serviceCluster",
    "statNameLength",
    "statsCompression",
    "statsEvictionInterval",
    "statsdUdpAddress",
    "tracing",
    "tracingServiceName",
    "zipkinAddress",
];

impl ProxyConfig {
    /// Reads the annotation's text. What is wrong with it refuses the pod, what does nothing is warned of.
    pub(super) fn read(text: &str, findings: &mut Findings) -> Self {
        match Self::try_read(text, findings) {
            Ok(config) => config,
            Err(problem) => {
                findings.refuse(format!("annotation {ANNOTATION}: {problem}"));
                Self::default()
            }
        }
    }

    fn try_read(text: &str, findings: &mut Findings) -> Result<Self, String> {
        let nodes = parse(text).map_err(|error| error.to_string())?;
        let Some(node) = nodes.first() else { return Ok(Self::default()) };
        ignored(node, findings);
        read(node).map(|read| read.value).map_err(|error| format!("{}: {}", error.path, error.message))
    }
}

fn ignored(node: &Node, findings: &mut Findings) {
    let Value::Map(entries) = &node.value else { return };
    for name in entries.iter().map(|entry| entry.key.as_str()).filter(|name| !READ.contains(name)) {
        let message = match nearest(name, READ.into_iter().chain(NO_EFFECT.iter().copied())) {
            _ if NO_EFFECT.contains(&name) => format!("{name} has no effect on this sidecar"),
            Some(right) => format!("{name} does not exist and has no effect; did you mean {right}?"),
            None => format!("{name} does not exist and has no effect"),
        };
        findings.warn(format!("annotation {ANNOTATION}: {message}"));
    }
}
