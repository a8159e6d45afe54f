//! The programs of which a cluster consists.

use std::fmt;
use std::process::Command;

use crate::site::Site;
use crate::{ClusterError, containerd, control_plane, dns, kube_proxy, kubelet};

/// One program of the cluster, which can be stopped and started by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store of the API server.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// The container runtime; containers go on while it is away.
    Containerd,
    /// The node's agent; containers go on while it is away.
    Kubelet,
    /// kube-proxy; the rules for Services stay while it is away.
    KubeProxy,
    /// CoreDNS.
    Dns,
}

impl Component {
    /// All, in the order in which they need one another.
    pub const ALL: [Component; 8] = [
        Component::Etcd,
        Component::ApiServer,
        Component::ControllerManager,
        Component::Scheduler,
        Component::Containerd,
        Component::Kubelet,
        Component::KubeProxy,
        Component::Dns,
    ];

    /// Its program's name.
    pub fn name(self) -> &'static str {
        match self {
            Component::Etcd => "etcd",
            Component::ApiServer => "kube-apiserver",
            Component::ControllerManager => "kube-controller-manager",
            Component::Scheduler => "kube-scheduler",
            Component::Containerd => "containerd",
            Component::Kubelet => "kubelet",
            Component::KubeProxy => "kube-proxy",
            Component::Dns => "coredns",
        }
    }

    /// Writes its configuration files.
    pub(crate) fn configure(self, site: &Site) -> Result<(), ClusterError> {
        match self {
            Component::Etcd | Component::ApiServer | Component::ControllerManager | Component::Scheduler => Ok(()),
            Component::Containerd => containerd::configure(site),
            Component::Kubelet => kubelet::configure(site),
            Component::KubeProxy => kube_proxy::configure(site),
            Component::Dns => dns::configure(site),
        }
    }

    /// The command line that starts it.
    pub(crate) fn command(self, site: &Site) -> Result<Command, ClusterError> {
        let arguments = match self {
            Component::Etcd => control_plane::etcd(site),
            Component::ApiServer => control_plane::api_server(site),
            Component::ControllerManager => control_plane::controller_manager(site),
            Component::Scheduler => control_plane::scheduler(site),
            Component::Containerd => containerd::arguments(site),
            Component::Kubelet => kubelet::arguments(site),
            Component::KubeProxy => kube_proxy::arguments(site),
            Component::Dns => dns::arguments(site),
        };
        let program = match self {
            Component::Containerd => {
                lab::tools::find("containerd").ok_or_else(|| ClusterError::NotBuilt("containerd".into()))?
            }
            other => site.programs.get(other.name())?,
        };
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
