//! The application's probes go through the sidecar, which asks the application inside of the pod: the kubelet has no
//! certificate of the mesh, and its own requests would be refused under STRICT.

use super::findings::quoted;
use super::patch::Edits;
use super::settings::Settings;
use super::{Findings, Subject, is_native_sidecar};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};

/// Ports of the sidecar, which answers there itself.
const SIDECARS: [u16; 2] = [15021, 15090];

/// What the sidecar has to ask the application, by the path that the kubelet asks for.
#[derive(Debug, Default)]
pub(super) struct Probers(Map<String, Value>);

impl Probers {
    /// For ISTIO_KUBE_APP_PROBERS; None when there is nothing to ask.
    pub(super) fn environment(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| Value::from(self.0.clone()).to_string())
    }
}

/// Rewrites the probes of all containers that run beside the sidecar. Commands are left alone.
pub(super) fn rewrite(
    subject: &Subject<'_>,
    settings: &Settings,
    edits: &mut Edits,
    findings: &mut Findings,
) -> Probers {
    let mut probers = Probers::default();
    let running = subject.own_containers().filter(|(list, _, it)| *list == "containers" || is_native_sidecar(it));
    for (list, index, container) in running {
        lifecycle(container, findings);
        let probes = [
            ("readinessProbe", "readyz", &container.readiness_probe),
            ("livenessProbe", "livez", &container.liveness_probe),
            ("startupProbe", "startupz", &container.startup_probe),
        ];
        for (field, page, probe) in probes.into_iter().filter(|_| settings.rewrite_probes) {
            let Some(probe) = probe else { continue };
            let path = format!("/app-health/{}/{page}", container.name);
            let at = ["spec", list, &index.to_string(), field];
            match prober(container, probe, settings) {
                Ok(Some((handler, prober))) => {
                    redirect(
                        &at,
                        handler,
                        json!({ "path": path, "port": settings.status_port, "scheme": "HTTP" }),
                        edits,
                    );
                    probers.0.insert(path, prober);
                }
                Ok(None) => {}
                Err(why) => findings.warn(format!("container {}: {field} stays as it is: {why}", container.name)),
            }
        }
    }
    probers
}

/// Puts the question to the sidecar in the place of the probe's handler.
fn redirect(at: &[&str], handler: &str, asked: Value, edits: &mut Edits) {
    let of_probe = |handler| [at, &[handler]].concat();
    if handler == "httpGet" {
        edits.replace(&of_probe("httpGet"), asked);
    } else {
        edits.remove(&of_probe(handler));
        edits.add(&of_probe("httpGet"), asked);
    }
}

/// The handler's field and what the sidecar has to ask instead. None when the probe needs no help.
fn prober(container: &Container, probe: &Probe, settings: &Settings) -> Result<Option<(&'static str, Value)>, String> {
    let timeout = probe.timeout_seconds.unwrap_or(1).max(1);
    let own = |port: u16| port == settings.status_port || SIDECARS.contains(&port);
    if let Some(get) = &probe.http_get {
        let port = port_number(container, &get.port)?;
        sendable(get)?;
        // A probe with a host of its own does not ask the pod.
        let ours = get.host.as_ref().is_none_or(String::is_empty) && !own(port);
        return Ok(ours.then(|| ("httpGet", json!({ "httpGet": http_get(get, port), "timeoutSeconds": timeout }))));
    }
    if let Some(socket) = &probe.tcp_socket {
        let port = port_number(container, &socket.port)?;
        let ours = socket.host.as_ref().is_none_or(String::is_empty) && !own(port);
        return Ok(ours.then(|| ("tcpSocket", json!({ "tcpSocket": { "port": port }, "timeoutSeconds": timeout }))));
    }
    let Some(grpc) = &probe.grpc else { return Ok(None) };
    let port = port_number(container, &IntOrString::Int(grpc.port))?;
    let mut asked = json!({ "port": port });
    if let Some(service) = grpc.service.as_ref().filter(|service| !service.is_empty()) {
        asked["service"] = service.as_str().into();
    }
    Ok(Some(("grpc", json!({ "grpc": asked, "timeoutSeconds": timeout }))))
}

fn http_get(get: &HTTPGetAction, port: u16) -> Value {
    let mut asked = json!({
        "path": get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/"),
        "port": port,
        "scheme": get.scheme.as_deref().filter(|scheme| !scheme.is_empty()).unwrap_or("HTTP"),
    });
    if let Some(headers) = get.http_headers.as_ref().filter(|headers| !headers.is_empty()) {
        let headers = headers.iter().map(|header| json!({ "name": header.name, "value": header.value }));
        asked["httpHeaders"] = headers.collect();
    }
    asked
}

/// The sidecar frames its requests itself.
fn sendable(get: &HTTPGetAction) -> Result<(), String> {
    for header in get.http_headers.iter().flatten() {
        let framing = ["content-length", "transfer-encoding", "upgrade"];
        if framing.iter().any(|name| header.name.eq_ignore_ascii_case(name)) || header.value.contains(char::is_control)
        {
            return Err(format!("the sidecar cannot send its header {}", quoted(&header.name)));
        }
    }
    Ok(())
}

/// The number of a port that may be named.
fn port_number(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) if text.parse::<u16>().is_ok() => text.parse().unwrap_or_default(),
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            let found = ports.into_iter().find(|port| port.name.as_deref() == Some(name));
            found.ok_or_else(|| format!("the container has no port named {name:?}"))?.container_port
        }
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("{number} is no port"))
}

/// Hooks that the kubelet calls over the network are refused under STRICT, as its probes would be.
fn lifecycle(container: &Container, findings: &mut Findings) {
    let Some(lifecycle) = &container.lifecycle else { return };
    let by_network = |hook: &&LifecycleHandler| hook.http_get.is_some() || hook.tcp_socket.is_some();
    for (name, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if hook.as_ref().filter(by_network).is_some() {
            findings.warn(format!(
                "container {}: its {name} hook is called without mTLS, which STRICT refuses; use exec, or exclude its \
                 port by traffic.sidecar.istio.io/excludeInboundPorts",
                container.name
            ));
        }
    }
}
