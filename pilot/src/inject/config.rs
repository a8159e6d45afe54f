//! The injector's configuration, `injector.yaml`: what every sidecar gets unless its pod says otherwise.

use super::findings::quoted;
use super::values;
use crate::yaml::{FieldPath, Lines, Node, parse, read};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What every sidecar gets. The default is what the chart writes when its values are left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct InjectorConfig {
    /// Image of the sidecar.
    pub image: String,
    /// Image of the container that sets the redirect rules.
    pub init_image: String,
    /// `Always`, `IfNotPresent`, `Never`; empty leaves it to the cluster.
    pub image_pull_policy: String,
    /// Names of Secrets that each pod gets for pulling images.
    pub image_pull_secrets: Vec<String>,
    /// Revision of the control plane.
    pub revision: String,
    /// Trust domain of the mesh.
    pub trust_domain: String,
    /// Id of the cluster.
    pub cluster_id: String,
    /// `host:port` of the control plane.
    pub control_plane: String,
    /// ConfigMap with the roots, in every namespace.
    pub root_config_map: String,
    /// `requests` and `limits` of the sidecar.
    pub resources: Value,
    /// The same of the container that sets the redirect rules.
    pub init_resources: Value,
    /// Threads that carry traffic.
    pub concurrency: u32,
    /// Longest drain after SIGTERM.
    pub drain: Duration,
    /// Shortest drain after SIGTERM.
    pub minimum_drain: Duration,
    /// `off`, `stdout` or a file.
    pub access_log: String,
    /// What is logged, as RUST_LOG says it.
    pub log_level: String,
    /// Comma-separated, or `*`.
    pub include_outbound_ranges: String,
    /// Comma-separated.
    pub exclude_outbound_ranges: String,
    /// Comma-separated.
    pub exclude_inbound_ports: String,
    /// Comma-separated.
    pub exclude_outbound_ports: String,
}

/// A configuration that cannot be used: every problem, each with its line and field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the injector's configuration is wrong: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Default for InjectorConfig {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            image: format!("docker.io/meltemi/meltemi:{version}"),
            init_image: format!("docker.io/meltemi/init:{version}"),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            revision: "default".into(),
            trust_domain: "cluster.local".into(),
            cluster_id: "Kubernetes".into(),
            control_plane: "meltemi.meltemi-system.svc:15012".into(),
            root_config_map: "meltemi-ca-root-cert".into(),
            resources: json!({ "requests": { "cpu": "10m", "memory": "32Mi" } }),
            init_resources: json!({ "requests": { "cpu": "10m", "memory": "16Mi" } }),
            concurrency: 1,
            drain: Duration::from_secs(5),
            minimum_drain: Duration::from_secs(1),
            access_log: "off".into(),
            log_level: "info".into(),
            include_outbound_ranges: "*".into(),
            exclude_outbound_ranges: String::new(),
            exclude_inbound_ports: String::new(),
            exclude_outbound_ports: String::new(),
        }
    }
}

impl InjectorConfig {
    /// Reads `injector.yaml`. What it leaves out has its default; a key that does not exist is an error.
    ///
    /// # Errors
    /// All that is wrong, each with its line.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let nodes = parse(text).map_err(|error| ConfigError(vec![error.to_string()]))?;
        let node = match nodes.as_slice() {
            [] => return Ok(Self::default()),
            [node] => node,
            _ => return Err(ConfigError(vec!["it has several documents; write one".into()])),
        };
        let mut problems = Reading { lines: Lines::of(node), problems: Vec::new() };
        let config = problems.config(node);
        match config.filter(|_| problems.problems.is_empty()) {
            Some(config) => Ok(config),
            None => Err(ConfigError(problems.in_order())),
        }
    }

    /// The namespace of the control plane by its address; None when that is no name of a Service.
    pub fn control_plane_namespace(&self) -> Option<&str> {
        let mut parts = self.control_plane.split(['.', ':']);
        let (_, namespace, svc) = (parts.next()?, parts.next()?, parts.next()?);
        (svc == "svc").then_some(namespace)
    }
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigSpec {
    image: Option<Word>,
    init_image: Option<Word>,
    image_pull_policy: Option<Word>,
    image_pull_secrets: Option<Vec<String>>,
    revision: Option<Word>,
    trust_domain: Option<Word>,
    cluster_id: Option<Word>,
    control_plane: Option<Word>,
    root_config_map: Option<Word>,
    resources: Option<ResourcesSpec>,
    init_resources: Option<ResourcesSpec>,
    concurrency: Option<u32>,
    drain: Option<Word>,
    minimum_drain: Option<Word>,
    access_log: Option<Word>,
    log_level: Option<Word>,
    #[serde(rename = "includeOutboundIPRanges")]
    include_outbound_ranges: Option<Listed>,
    #[serde(rename = "excludeOutboundIPRanges")]
    exclude_outbound_ranges: Option<Listed>,
    exclude_inbound_ports: Option<Listed>,
    exclude_outbound_ports: Option<Listed>,
    hold_application: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResourcesSpec {
    requests: BTreeMap<String, Word>,
    limits: BTreeMap<String, Word>,
}

/// A text or a number.
#[derive(Debug)]
struct Word(String);

/// A text, a number, or a list of them that becomes text with commas.
#[derive(Debug)]
struct Listed(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = word_of(Value::deserialize(deserializer)?);
        text.map(Self).ok_or_else(|| D::Error::custom("expected a text or a number"))
    }
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::Array(items) => items.into_iter().map(word_of).collect::<Option<Vec<_>>>().map(|all| all.join(",")),
            value => word_of(value),
        };
        text.map(Self).ok_or_else(|| D::Error::custom("expected a text, a number or a list of them"))
    }
}

fn word_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Collects what is wrong while the file is read.
struct Reading {
    lines: Lines,
    problems: Vec<(u32, String)>,
}

impl Reading {
    fn in_order(mut self) -> Vec<String> {
        self.problems.sort();
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }

    fn problem(&mut self, at: &FieldPath, message: impl fmt::Display) {
        let line = self.lines.line(at);
        self.problems.push((line, format!("line {line}: {at}: {message}")));
    }

    /// Reads a text into its place. An empty one leaves the default, as the values of a chart do.
    fn set<T>(&mut self, place: &mut T, name: &str, text: Option<Word>, read: fn(&str) -> Result<T, String>) {
        if let Some(Word(text)) = text.filter(|Word(text)| !text.is_empty()) {
            self.store(place, name, &text, read);
        }
    }

    /// Reads a list into its place. An empty one means none.
    fn list(&mut self, place: &mut String, name: &str, list: Option<Listed>, read: fn(&str) -> Result<String, String>) {
        if let Some(Listed(text)) = list {
            self.store(place, name, &text, read);
        }
    }

    fn store<T>(&mut self, place: &mut T, name: &str, text: &str, read: fn(&str) -> Result<T, String>) {
        match read(text) {
            Ok(value) => *place = value,
            Err(message) => self.problem(&FieldPath::of(name), format!("{} {message}", quoted(text))),
        }
    }

    fn resources(&mut self, place: &mut Value, name: &str, spec: Option<ResourcesSpec>) {
        let Some(spec) = spec else { return };
        let mut resources = serde_json::Map::new();
        for (part, amounts) in [("requests", spec.requests), ("limits", spec.limits)] {
            for (resource, Word(amount)) in &amounts {
                if let Err(message) = values::quantity(amount) {
                    self.problem(&FieldPath::of(name).key(part).key(resource), format!("{} {message}", quoted(amount)));
                }
            }
            if !amounts.is_empty() {
                let amounts = amounts.into_iter().map(|(resource, Word(amount))| (resource, amount));
                resources.insert(part.into(), amounts.collect());
            }
        }
        *place = resources.into();
    }

    fn config(&mut self, node: &Node) -> Option<InjectorConfig> {
        let read = match read::<ConfigSpec>(node) {
            Ok(read) => read,
            Err(error) => {
                self.problem(&error.path, error.message);
                return None;
            }
        };
        for field in &read.unknown {
            self.problem(&field.path, field.message());
        }
        let spec = read.value;
        if spec.hold_application == Some(false) {
            let message = "cannot be false: a native sidecar always starts before the application";
            self.problem(&FieldPath::of("holdApplication"), message);
        }
        if spec.concurrency == Some(0) {
            self.problem(&FieldPath::of("concurrency"), "cannot be 0; write how many threads carry traffic");
        }
        Some(self.checked(spec))
    }

    fn checked(&mut self, spec: ConfigSpec) -> InjectorConfig {
        let mut config = InjectorConfig::default();
        let c = &mut config;
        self.set(&mut c.image, "image", spec.image, values::image);
        self.set(&mut c.init_image, "initImage", spec.init_image, values::image);
        self.set(&mut c.image_pull_policy, "imagePullPolicy", spec.image_pull_policy, pull_policy);
        c.image_pull_secrets = spec.image_pull_secrets.unwrap_or_default();
        self.set(&mut c.revision, "revision", spec.revision, word);
        self.set(&mut c.trust_domain, "trustDomain", spec.trust_domain, word);
        self.set(&mut c.cluster_id, "clusterId", spec.cluster_id, word);
        self.set(&mut c.control_plane, "controlPlane", spec.control_plane, values::host_port);
        self.set(&mut c.root_config_map, "rootConfigMap", spec.root_config_map, word);
        self.resources(&mut c.resources, "resources", spec.resources);
        self.resources(&mut c.init_resources, "initResources", spec.init_resources);
        c.concurrency = spec.concurrency.unwrap_or(c.concurrency);
        self.set(&mut c.drain, "drain", spec.drain, values::duration);
        self.set(&mut c.minimum_drain, "minimumDrain", spec.minimum_drain, values::duration);
        self.set(&mut c.access_log, "accessLog", spec.access_log, word);
        self.set(&mut c.log_level, "logLevel", spec.log_level, word);
        let ranges = &mut c.include_outbound_ranges;
        self.list(ranges, "includeOutboundIPRanges", spec.include_outbound_ranges, values::ranges_or_all);
        let ranges = &mut c.exclude_outbound_ranges;
        self.list(ranges, "excludeOutboundIPRanges", spec.exclude_outbound_ranges, values::ranges);
        self.list(&mut c.exclude_inbound_ports, "excludeInboundPorts", spec.exclude_inbound_ports, values::ports);
        self.list(&mut c.exclude_outbound_ports, "excludeOutboundPorts", spec.exclude_outbound_ports, values::ports);
        config
    }
}

fn pull_policy(text: &str) -> Result<String, String> {
    match text {
        "Always" | "IfNotPresent" | "Never" => Ok(text.to_owned()),
        _ => Err("is no pull policy; use Always, IfNotPresent or Never".into()),
    }
}

fn word(text: &str) -> Result<String, String> {
    match text.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("has spaces or letters that it may not have".into()),
    }
}
