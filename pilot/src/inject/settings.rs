//! What one pod's sidecar shall be: the injector's configuration, changed by `proxy.istio.io/config`, changed by the
//! pod's other annotations.

use super::decide::{INJECT, wish};
use super::findings::quoted;
use super::proxy_config::{self, ProxyConfig};
use super::{Findings, InjectorConfig, values};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the sidecar serves metrics and the application's probes.
pub(super) const STATUS_PORT: u16 = 15020;

/// One pod's sidecar.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) image: String,
    pub(super) resources: Value,
    pub(super) control_plane: String,
    pub(super) concurrency: u32,
    pub(super) drain: Duration,
    pub(super) minimum_drain: Duration,
    pub(super) certificate_ttl: Option<Duration>,
    pub(super) cluster_id: String,
    pub(super) log_level: String,
    pub(super) status_port: u16,
    pub(super) readiness: Readiness,
    pub(super) rewrite_probes: bool,
    /// Whether Prometheus is told where the sidecar's metrics are.
    pub(super) announce_metrics: bool,
    pub(super) capture: Capture,
    pub(super) user_volumes: Vec<Value>,
    pub(super) user_mounts: Vec<Value>,
}

/// The sidecar's readiness probe.
#[derive(Debug)]
pub(super) struct Readiness {
    pub(super) initial_delay: i32,
    pub(super) period: i32,
    pub(super) failures: i32,
}

/// What the redirect rules catch; every list is comma-separated text.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) include_outbound_ranges: String,
    pub(super) exclude_outbound_ranges: String,
    pub(super) include_inbound_ports: String,
    pub(super) exclude_inbound_ports: String,
    pub(super) include_outbound_ports: String,
    pub(super) exclude_outbound_ports: String,
    pub(super) exclude_interfaces: String,
    pub(super) virtual_interfaces: String,
}

impl Settings {
    /// Reads all annotations; a wrong one is noted and has its default.
    pub(super) fn read(pod: &Pod, config: &InjectorConfig, findings: &mut Findings) -> Self {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let map = pod.metadata.annotations.as_ref().unwrap_or(&NONE);
        let proxy_config = map.get(proxy_config::ANNOTATION).map(|text| ProxyConfig::read(text, findings));
        let mut annotations = Annotations { map, findings };
        annotations.refuse_what_cannot_be(pod);
        let mut settings = Self {
            image: annotations
                .get("sidecar.istio.io/proxyImage", values::image)
                .unwrap_or_else(|| config.image.clone()),
            resources: annotations.resources().unwrap_or_else(|| config.resources.clone()),
            control_plane: config.control_plane.clone(),
            concurrency: config.concurrency,
            drain: config.drain,
            minimum_drain: config.minimum_drain,
            certificate_ttl: None,
            cluster_id: config.cluster_id.clone(),
            log_level: config.log_level.clone(),
            status_port: STATUS_PORT,
            readiness: annotations.readiness(),
            rewrite_probes: annotations.get("sidecar.istio.io/rewriteAppHTTPProbers", values::flag).unwrap_or(true),
            announce_metrics: annotations.get("prometheus.istio.io/merge-metrics", values::flag).unwrap_or(true),
            capture: annotations.capture(config),
            user_volumes: annotations.get("sidecar.istio.io/userVolume", values::named_objects).unwrap_or_default(),
            user_mounts: annotations.get("sidecar.istio.io/userVolumeMount", values::named_objects).unwrap_or_default(),
        };
        settings.take_proxy_config(proxy_config.unwrap_or_default(), annotations.findings);
        annotations.put(&mut settings.status_port, "status.sidecar.istio.io/port", values::port);
        annotations.put(&mut settings.log_level, "sidecar.istio.io/logLevel", values::log_level);
        annotations.put(&mut settings.control_plane, "sidecar.istio.io/discoveryAddress", values::host_port);
        settings
    }

    fn take_proxy_config(&mut self, config: ProxyConfig, findings: &mut Findings) {
        if let Some(mode) = config.interception_mode.as_deref() {
            interception(mode, "annotation proxy.istio.io/config: interceptionMode", findings);
        }
        if config.hold_application_until_proxy_starts == Some(false) {
            findings.warn(format!(
                "annotation {}: holdApplicationUntilProxyStarts: false has no effect: a native sidecar always starts \
                 before the application",
                proxy_config::ANNOTATION
            ));
        }
        if config.concurrency == Some(0) {
            findings.warn(format!(
                "annotation {}: concurrency: 0 (a thread for each processor) is not supported; the sidecar has {}",
                proxy_config::ANNOTATION,
                self.concurrency
            ));
        }
        self.concurrency = config.concurrency.filter(|threads| *threads > 0).unwrap_or(self.concurrency);
        self.status_port = config.status_port.filter(|port| *port > 0).unwrap_or(self.status_port);
        let mut field = |name: &str, text: &str, problem: String| {
            findings.refuse(format!("annotation {}: {name}: {} {problem}", proxy_config::ANNOTATION, quoted(text)));
        };
        if let Some(text) = &config.termination_drain_duration {
            place(&mut self.drain, text, values::duration, |problem| field("terminationDrainDuration", text, problem));
        }
        if let Some(text) = &config.discovery_address {
            place(&mut self.control_plane, text, values::host_port, |problem| field("discoveryAddress", text, problem));
        }
        for (name, text) in config.proxy_metadata {
            self.take_metadata(&name, &text, findings);
        }
    }

    /// `proxyMetadata` are environment variables of the proxy. Those that ours reads are taken, others do nothing.
    fn take_metadata(&mut self, name: &str, text: &str, findings: &mut Findings) {
        let at = format!("annotation {}: proxyMetadata.{name}", proxy_config::ANNOTATION);
        let problem = |problem: String| findings.refuse(format!("{at}: {} {problem}", quoted(text)));
        match name {
            "TERMINATION_DRAIN_DURATION" => place(&mut self.drain, text, values::duration, problem),
            "MINIMUM_DRAIN_DURATION" => place(&mut self.minimum_drain, text, values::duration, problem),
            "SECRET_TTL" => place(&mut self.certificate_ttl, text, |text| values::duration(text).map(Some), problem),
            "ISTIO_META_CLUSTER_ID" => self.cluster_id = text.to_owned(),
            _ => findings.warn(format!("{at} has no effect: the sidecar does not read it")),
        }
    }
}

fn place<T>(place: &mut T, text: &str, read: impl Fn(&str) -> Result<T, String>, wrong: impl FnOnce(String)) {
    match read(text) {
        Ok(value) => *place = value,
        Err(problem) => wrong(problem),
    }
}

/// The annotations of one pod while they are read.
struct Annotations<'a, 'f> {
    map: &'a BTreeMap<String, String>,
    findings: &'f mut Findings,
}

impl Annotations<'_, '_> {
    fn get<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.map.get(name)?;
        let read = read(text);
        read.map_err(|problem| self.findings.refuse(format!("annotation {name}: {} {problem}", quoted(text)))).ok()
    }

    fn put<T>(&mut self, place: &mut T, name: &str, read: impl Fn(&str) -> Result<T, String>) {
        if let Some(value) = self.get(name, read) {
            *place = value;
        }
    }

    /// Wishes that cannot be fulfilled.
    fn refuse_what_cannot_be(&mut self, pod: &Pod) {
        if let Some(text) = wish(pod).filter(|text| values::flag(text).is_err()) {
            self.findings.refuse(format!("{INJECT}: {} is neither \"true\" nor \"false\"", quoted(text)));
        }
        if let Some(mode) = self.map.get("sidecar.istio.io/interceptionMode") {
            interception(mode, "annotation sidecar.istio.io/interceptionMode", self.findings);
        }
        if self.get("sidecar.istio.io/nativeSidecar", values::flag) == Some(false) {
            self.findings.warn(
                "annotation sidecar.istio.io/nativeSidecar: \"false\" has no effect: the sidecar is always a native one",
            );
        }
        let templates = self.map.get("inject.istio.io/templates").filter(|text| text.trim() != "sidecar");
        if let Some(text) = templates {
            self.findings.refuse(format!(
                "annotation inject.istio.io/templates: {} asks for a template that does not exist here; the one there \
                 is is sidecar",
                quoted(text)
            ));
        }
    }

    /// As in Istio, one annotation about resources takes the place of all configured ones.
    fn resources(&mut self) -> Option<Value> {
        const AMOUNTS: [(&str, &str, &str); 4] = [
            ("sidecar.istio.io/proxyCPU", "requests", "cpu"),
            ("sidecar.istio.io/proxyMemory", "requests", "memory"),
            ("sidecar.istio.io/proxyCPULimit", "limits", "cpu"),
            ("sidecar.istio.io/proxyMemoryLimit", "limits", "memory"),
        ];
        let mut resources: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for (name, part, resource) in AMOUNTS {
            if let Some(amount) = self.get(name, values::quantity) {
                resources.entry(part).or_default().insert(resource.into(), amount.into());
            }
        }
        let resources: Map<_, _> = resources.into_iter().map(|(part, amounts)| (part.into(), amounts.into())).collect();
        (!resources.is_empty()).then(|| resources.into())
    }

    fn readiness(&mut self) -> Readiness {
        let mut count = |name: &str, read: fn(&str) -> Result<i32, String>, default| {
            self.get(&format!("readiness.status.sidecar.istio.io/{name}"), read).unwrap_or(default)
        };
        Readiness {
            initial_delay: count("initialDelaySeconds", values::count, 0),
            period: count("periodSeconds", values::at_least_one, 15),
            failures: count("failureThreshold", values::at_least_one, 4),
        }
    }

    fn capture(&mut self, config: &InjectorConfig) -> Capture {
        let mut of = |name: &str, read: fn(&str) -> Result<String, String>, default: &str| {
            self.get(&format!("traffic.sidecar.istio.io/{name}"), read).unwrap_or_else(|| default.to_owned())
        };
        let mut capture = Capture {
            include_outbound_ranges: of(
                "includeOutboundIPRanges",
                values::ranges_or_all,
                &config.include_outbound_ranges,
            ),
            exclude_outbound_ranges: of("excludeOutboundIPRanges", values::ranges, &config.exclude_outbound_ranges),
            include_inbound_ports: of("includeInboundPorts", values::ports_or_all, "*"),
            exclude_inbound_ports: of("excludeInboundPorts", values::ports, &config.exclude_inbound_ports),
            include_outbound_ports: of("includeOutboundPorts", values::ports, ""),
            exclude_outbound_ports: of("excludeOutboundPorts", values::ports, &config.exclude_outbound_ports),
            exclude_interfaces: of("excludeInterfaces", values::interfaces, ""),
            virtual_interfaces: of("kubevirtInterfaces", values::interfaces, ""),
        };
        let newer = "istio.io/reroute-virtual-interfaces";
        self.put(&mut capture.virtual_interfaces, newer, values::interfaces);
        capture
    }
}

fn interception(mode: &str, at: &str, findings: &mut Findings) {
    let why = match mode {
        "REDIRECT" => return,
        "TPROXY" => {
            "is not supported; use REDIRECT (the client's address is in the x-forwarded-for header and in the access log)"
        }
        "NONE" => "is not supported; to leave a pod out of the mesh, label it sidecar.istio.io/inject: \"false\"",
        _ => "is no mode; use REDIRECT",
    };
    findings.refuse(format!("{at}: {} {why}", quoted(mode)));
}
