//! The command line of a pod's sidecar: our proxy, or another data plane under `meltemi agent`.

use crate::manifest::PodSpec;
use crate::redirect::PROXY_MARK;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which data plane runs beside an application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SidecarKind {
    /// `meltemi proxy`.
    #[default]
    Meltemi,
    /// Envoy under `meltemi agent`.
    Envoy {
        /// The Envoy program.
        binary: PathBuf,
    },
}

impl SidecarKind {
    /// How people call it.
    pub fn name(&self) -> &'static str {
        match self {
            SidecarKind::Meltemi => "proxy",
            SidecarKind::Envoy { .. } => "envoy",
        }
    }
}

/// Where a sidecar finds the control plane and its own papers.
#[derive(Debug, Clone)]
pub(crate) struct Papers<'a> {
    pub control_plane: SocketAddr,
    pub trust_domain: &'a str,
    /// The pod's folder with `token` and `root-cert.pem`.
    pub folder: &'a Path,
    /// How long it may drain.
    pub drain: Duration,
}

/// The arguments after `meltemi`.
pub(crate) fn arguments(kind: &SidecarKind, pod: &PodSpec, papers: &Papers<'_>, extra: &[String]) -> Vec<String> {
    let command = match kind {
        SidecarKind::Meltemi => "proxy",
        SidecarKind::Envoy { .. } => "agent",
    };
    let file = |name: &str| papers.folder.join(name).display().to_string();
    let mut arguments = vec![command.to_owned()];
    for (flag, value) in [
        ("--pod", pod.name.clone()),
        ("--namespace", pod.namespace.clone()),
        ("--service-account", pod.service_account.clone()),
        ("--ip", pod.ip().to_string()),
        ("--ips", pod.ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        ("--control-plane", papers.control_plane.to_string()),
        ("--trust-domain", papers.trust_domain.to_owned()),
        ("--root-cert", file("root-cert.pem")),
        ("--token", file("token")),
        ("--mark", PROXY_MARK.to_string()),
        ("--drain", format!("{}ms", papers.drain.as_millis())),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    for (name, value) in &pod.labels {
        arguments.extend(["--label".to_owned(), format!("{name}={value}")]);
    }
    arguments.extend(extra.iter().cloned());
    if let SidecarKind::Envoy { binary } = kind {
        arguments.extend(["--work-dir".to_owned(), file("envoy"), "--".to_owned(), binary.display().to_string()]);
    }
    arguments
}
