//! The sidecar's container: a native sidecar that passes Pod Security *restricted*, and what it is told of its pod.

use super::probes::Probers;
use super::settings::{STATUS_PORT, Settings};
use super::values::written;
use super::{InjectorConfig, PROXY, PROXY_ID, Subject, metadata, volumes};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where the sidecar says that it is ready.
const READINESS_PORT: u16 = 15021;
/// Where Prometheus finds metrics whatever `status.sidecar.istio.io/port` says.
const METRICS_PORT: u16 = 15090;
/// The name of the control plane's certificate ends here, whatever DNS suffix its address has.
const SERVICE: &str = ".svc";

pub(super) fn container(
    subject: &Subject<'_>,
    config: &InjectorConfig,
    settings: &Settings,
    labels: &BTreeMap<String, String>,
    probers: &Probers,
) -> Value {
    let readiness = &settings.readiness;
    let mut container = json!({
        "name": PROXY,
        "image": settings.image,
        "args": arguments(config, settings, labels),
        "env": environment(subject, config, settings, probers),
        "ports": [{ "name": "http-envoy-prom", "containerPort": METRICS_PORT, "protocol": "TCP" }],
        "resources": settings.resources,
        "restartPolicy": "Always",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "privileged": false,
            "capabilities": { "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": PROXY_ID,
            "runAsGroup": PROXY_ID,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "startupProbe": probe(0, 1, 600),
        "readinessProbe": probe(readiness.initial_delay, readiness.period, readiness.failures),
        "volumeMounts": volumes::mounts(settings),
    });
    if !config.image_pull_policy.is_empty() {
        container["imagePullPolicy"] = config.image_pull_policy.as_str().into();
    }
    container
}

fn probe(initial_delay: i32, period: i32, failures: i32) -> Value {
    let mut probe = json!({
        "httpGet": { "path": "/healthz/ready", "port": READINESS_PORT },
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    });
    if initial_delay > 0 {
        probe["initialDelaySeconds"] = initial_delay.into();
    }
    probe
}

fn arguments(config: &InjectorConfig, settings: &Settings, labels: &BTreeMap<String, String>) -> Vec<String> {
    let mut arguments = vec!["proxy".to_owned()];
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("--control-plane-name", server_name(&settings.control_plane).to_owned());
    flag("--access-log", config.access_log.clone());
    if settings.status_port != STATUS_PORT {
        for port in [settings.status_port, METRICS_PORT] {
            flag("--metrics", format!("[::]:{port}"));
        }
    }
    for (name, value) in labels {
        flag("--label", format!("{name}={value}"));
    }
    arguments
}

/// The name that the control plane's certificate has: `istiod.istio-system.svc` also for
/// `istiod.istio-system.svc.cluster.local:15012`.
fn server_name(control_plane: &str) -> &str {
    let host = control_plane.rsplit_once(':').map_or(control_plane, |(host, _)| host);
    let end = host.find(&format!("{SERVICE}.")).map_or(host.len(), |start| start + SERVICE.len());
    &host[..end]
}

fn environment(subject: &Subject<'_>, config: &InjectorConfig, settings: &Settings, probers: &Probers) -> Vec<Value> {
    let of_pod = [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ("INSTANCE_IP", "status.podIP"),
        ("INSTANCE_IPS", "status.podIPs"),
    ];
    let field = |(name, path)| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mut values = vec![
        ("ISTIO_META_WORKLOAD_NAME", metadata::workload(subject)),
        ("ISTIO_META_CLUSTER_ID", settings.cluster_id.clone()),
        ("TRUST_DOMAIN", config.trust_domain.clone()),
        ("CA_ADDR", settings.control_plane.clone()),
        ("ISTIO_PROXY_CONCURRENCY", settings.concurrency.to_string()),
        ("TERMINATION_DRAIN_DURATION", written(settings.drain)),
        ("MINIMUM_DRAIN_DURATION", written(settings.minimum_drain)),
        ("RUST_LOG", settings.log_level.clone()),
    ];
    values.extend(settings.certificate_ttl.map(|life| ("SECRET_TTL", written(life))));
    values.extend(probers.environment().map(|text| ("ISTIO_KUBE_APP_PROBERS", text)));
    let value = |(name, value): (&str, String)| json!({ "name": name, "value": literal(&value) });
    of_pod.into_iter().map(field).chain(values.into_iter().map(value)).collect()
}

/// The kubelet replaces `$(NAME)` in values; `$$` stands for a dollar.
fn literal(value: &str) -> String {
    value.replace('$', "$$")
}
