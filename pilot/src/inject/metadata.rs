//! Labels and annotations: who the workload is, that it has a sidecar, and where its metrics are.

use super::decide::REVISION;
use super::patch::Edits;
use super::settings::Settings;
use super::{Findings, INIT, InjectorConfig, PROXY, STATUS, Subject, volumes};
use crate::model::Labels;
use crate::validate::{CANONICAL_NAME, CANONICAL_REVISION, workload_name};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const TLS_MODE: &str = "security.istio.io/tlsMode";
/// The container that `kubectl logs` and `kubectl exec` mean without a name.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
const SCRAPE: &str = "prometheus.io/scrape";
const SCRAPE_DETAILS: [&str; 2] = ["prometheus.io/port", "prometheus.io/path"];
/// The longest value of a label.
const LABEL_VALUE: usize = 63;

/// The name of the workload, by Istio's rules.
pub(super) fn workload(subject: &Subject<'_>) -> String {
    let metadata = &subject.pod.metadata;
    let labels = Labels::new(metadata.labels.clone().unwrap_or_default());
    let generated = metadata.generate_name.as_deref().map(|name| name.trim_end_matches('-'));
    let name = subject.workload.or(metadata.name.as_deref()).or(generated).unwrap_or_default();
    workload_name(metadata, &labels, &Arc::from(name)).to_string()
}

/// The labels that the pod will have.
pub(super) fn labels(subject: &Subject<'_>) -> BTreeMap<String, String> {
    let mut labels = subject.pod.metadata.labels.clone().unwrap_or_default();
    let first = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| labels.get(*name));
        values.find(|value| !value.is_empty()).cloned()
    };
    let name = first(CANONICAL_NAME).unwrap_or_else(|| label_value(workload(subject)));
    let revision = first(CANONICAL_REVISION).unwrap_or_else(|| "latest".to_owned());
    labels.entry(TLS_MODE.to_owned()).or_insert_with(|| "istio".to_owned());
    labels.insert(CANONICAL_NAME[0].to_owned(), name);
    labels.insert(CANONICAL_REVISION[0].to_owned(), revision);
    labels
}

/// What fits into a label, which must end in a letter or digit.
fn label_value(name: String) -> String {
    let fits = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LABEL_VALUE).last();
    name[..fits.unwrap_or(0)].trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

pub(super) fn write(
    subject: &Subject<'_>,
    config: &InjectorConfig,
    settings: &Settings,
    labels: BTreeMap<String, String>,
    edits: &mut Edits,
    findings: &mut Findings,
) {
    let metadata = &subject.pod.metadata;
    if !subject.raw["metadata"].is_object() {
        edits.add(&["metadata"], json!({}));
    }
    let known = metadata.labels.clone().unwrap_or_default();
    let new = labels.into_iter().filter(|(name, value)| known.get(name) != Some(value)).collect();
    edits.set_all(&["metadata", "labels"], metadata.labels.is_some(), new);

    let known = metadata.annotations.clone().unwrap_or_default();
    let mut new =
        BTreeMap::from([(STATUS.to_owned(), status(config, settings)), (REVISION.to_owned(), config.revision.clone())]);
    let app = subject.own_containers().find(|(list, ..)| *list == "containers");
    if let Some((.., app)) = app.filter(|_| !known.contains_key(DEFAULT_CONTAINER)) {
        new.insert(DEFAULT_CONTAINER.to_owned(), app.name.clone());
    }
    if settings.announce_metrics {
        new.extend(scrape(&known, settings, findings));
    }
    edits.set_all(&["metadata", "annotations"], metadata.annotations.is_some(), new);
}

/// What was added, by name, as Istio writes it.
fn status(config: &InjectorConfig, settings: &Settings) -> String {
    let of_user = settings.user_volumes.iter().filter_map(|volume| volume["name"].as_str());
    let volumes: Vec<&str> = volumes::NAMES.into_iter().chain(of_user).collect();
    let secrets = if config.image_pull_secrets.is_empty() { Value::Null } else { json!(config.image_pull_secrets) };
    json!({
        "initContainers": [INIT, PROXY],
        "containers": null,
        "volumes": volumes,
        "imagePullSecrets": secrets,
        "revision": config.revision,
    })
    .to_string()
}

/// Tells Prometheus where the sidecar's metrics are, unless the author told it something else.
fn scrape(known: &BTreeMap<String, String>, settings: &Settings, findings: &mut Findings) -> BTreeMap<String, String> {
    let scrape = known.get(SCRAPE).map(String::as_str);
    let details = SCRAPE_DETAILS.iter().any(|name| known.contains_key(*name));
    if scrape == Some("false") {
        return BTreeMap::new();
    }
    if scrape.is_some() || details {
        findings.warn(
            "the prometheus.io annotations stay as they are: metrics of application and sidecar are not merged yet; the \
             sidecar's are on port 15090, and STRICT refuses a scrape of the application without mTLS",
        );
        return BTreeMap::new();
    }
    let [port, path] = SCRAPE_DETAILS;
    let values = [(SCRAPE, "true"), (port, &settings.status_port.to_string()), (path, "/stats/prometheus")];
    values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
