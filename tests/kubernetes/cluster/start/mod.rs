//! The start of a cluster: what does not wait for one another starts together.

pub mod api;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::{Cluster, ClusterError, Component, containerd, dns};

/// How long the cluster may take for one step of its start, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

impl Cluster {
    pub(crate) fn start_all(&self) -> Result<(), ClusterError> {
        together([
            &|| {
                self.start_component(Component::Etcd)?;
                self.start_component(Component::ApiServer)
            },
            &|| {
                self.start_component(Component::Containerd)?;
                self.load_pause()
            },
        ])?;
        together([
            &|| self.start_component(Component::ControllerManager),
            &|| self.start_component(Component::Scheduler),
            &|| self.start_component(Component::Kubelet),
            &|| self.start_component(Component::KubeProxy),
            &|| self.start_dns(),
        ])?;
        self.wait_until("the node is Ready", LIMIT, || self.node_is_ready())?;
        // No pod can be made before.
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        self.wait_until("the default service account", LIMIT, || self.api.get(account))?;
        Ok(())
    }

    fn start_dns(&self) -> Result<(), ClusterError> {
        for (path, object) in dns::objects(&self.site) {
            // The first Services have to wait for the API server's allocator of addresses.
            self.wait_until("the Service kube-dns", LIMIT, || self.api.create(path, &object))?;
        }
        self.start_component(Component::Dns)
    }

    fn node_is_ready(&self) -> Result<(), String> {
        let node = self.api.get("/api/v1/nodes/node").map_err(|error| error.to_string())?;
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|one| one["type"] == "Ready").cloned().unwrap_or_default();
        // The scheduler obeys the taint, which goes a moment after.
        let tainted = node["spec"]["taints"] != Value::Null;
        if ready["status"] == "True" && !tainted { Ok(()) } else { Err(format!("{ready}; tainted: {tainted}")) }
    }

    /// Whether a part that has just been started does its work.
    pub(crate) fn is_ready(&self, component: Component) -> bool {
        let healthy = |port: u16, path: &str| self.answers((Ipv4Addr::LOCALHOST, port).into(), path);
        match component {
            Component::Etcd => healthy(2379, "/health"),
            Component::ApiServer => self.api.is_ready(),
            Component::ControllerManager => self.accepts(10257),
            Component::Scheduler => self.accepts(10259),
            Component::Containerd => UnixStream::connect(containerd::socket(&self.site)).is_ok(),
            Component::Kubelet => healthy(10248, "/healthz"),
            Component::KubeProxy => healthy(10256, "/healthz"),
            Component::Dns => self.answers((self.site.addresses.node(), dns::READY_PORT).into(), "/ready"),
        }
    }

    fn accepts(&self, port: u16) -> bool {
        self.node.namespaces.connect((Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(1)).is_ok()
    }

    fn answers(&self, address: SocketAddr, path: &str) -> bool {
        let ask = || -> io::Result<u16> {
            let stream: TcpStream = self.node.namespaces.connect(address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            Ok(lab::http::get(stream, &address.to_string(), path, &[])?.status)
        };
        ask().is_ok_and(|status| status == 200)
    }
}

type Step<'a> = &'a (dyn Fn() -> Result<(), ClusterError> + Sync);

/// Runs the steps at the same time; the first error counts.
fn together<const N: usize>(steps: [Step<'_>; N]) -> Result<(), ClusterError> {
    std::thread::scope(|scope| {
        let running = steps.map(|step| scope.spawn(step));
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .fold(Ok(()), Result::and)
    })
}
