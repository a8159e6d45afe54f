//! What would make a pod unsafe or keep it from starting: programs that the redirect rules would take for the sidecar,
//! ports that it needs, and namespaces that forbid the rules.

use super::findings::quoted;
use super::{Findings, INIT, PROXY_ID, Subject, is_native_sidecar};
use k8s_openapi::api::core::v1::Container;

/// Label of namespaces: the Pod Security standard that the API server enforces.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// Ports that the sidecar listens on.
const PORTS: [i32; 6] = [15000, 15001, 15006, 15020, 15021, 15090];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    if subject.own_containers().all(|(list, ..)| list != "containers") {
        findings.refuse(
            "the pod has no container of its own; a proxy that stands alone (a gateway) is not injected".to_owned(),
        );
    }
    for (list, _, container) in subject.own_containers() {
        identity(subject, list, container, findings);
        ports(container, findings);
    }
    pod_security(subject, findings);
}

/// Connections of the sidecar's user and group are not redirected: an application that has them is outside the mesh.
fn identity(subject: &Subject<'_>, list: &str, container: &Container, findings: &mut Findings) {
    let of_pod = subject.spec().security_context.as_ref();
    let own = container.security_context.as_ref();
    let user = own.and_then(|own| own.run_as_user).or(of_pod.and_then(|pod| pod.run_as_user));
    let group = own.and_then(|own| own.run_as_group).or(of_pod.and_then(|pod| pod.run_as_group));
    let name = &container.name;
    for (field, id) in [("runAsUser", user), ("runAsGroup", group)] {
        if id != Some(PROXY_ID) {
            continue;
        }
        if list == "containers" || is_native_sidecar(container) {
            findings.refuse(format!(
                "container {name}: {field} {PROXY_ID} is the sidecar's own, and what runs with it bypasses the \
                 sidecar: no mTLS, no policy; use another id"
            ));
        } else {
            findings.warn(format!(
                "init container {name}: with {field} {PROXY_ID} it bypasses the sidecar; that is no longer needed, \
                 for the sidecar starts before it"
            ));
        }
    }
}

fn ports(container: &Container, findings: &mut Findings) {
    for port in container.ports.iter().flatten().filter(|port| PORTS.contains(&port.container_port)) {
        let (name, port) = (&container.name, port.container_port);
        findings.warn(format!("container {name}: the sidecar listens on port {port} itself; use another one"));
    }
}

fn pod_security(subject: &Subject<'_>, findings: &mut Findings) {
    let namespace = subject.namespace;
    let Some(level) = namespace.labels.get(ENFORCE).filter(|level| *level != "privileged") else { return };
    findings.warn(format!(
        "namespace {} enforces Pod Security {}, which forbids NET_ADMIN and NET_RAW; container {INIT} needs both, so the \
         API server will refuse this pod; label the namespace {ENFORCE}=privileged",
        namespace.name,
        quoted(level)
    ));
}
