//! CoreDNS: the cluster's names, and those that a test gives to the world outside.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::papers::NODE;
use crate::site::Site;
use crate::{Cluster, ClusterError};

pub fn arguments(site: &Site) -> Vec<String> {
    vec!["-conf".to_owned(), site.text("Corefile")]
}

/// The names of the world outside, in the format of /etc/hosts.
const HOSTS: &str = "hosts";
/// The port where it says whether it is ready.
pub const READY_PORT: u16 = 8181;

pub fn configure(site: &Site) -> Result<(), ClusterError> {
    site.write(HOSTS, "")?;
    let text = format!(
        r".:53 {{
  bind {node}
  errors
  ready {node}:{READY_PORT}
  hosts {hosts} {{
    reload 200ms
    fallthrough
  }}
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
    pods insecure
    ttl 1
  }}
}}
",
        node = site.addresses.node(),
        hosts = site.text(HOSTS),
        kubeconfig = site.text("kubeconfig/admin"),
    );
    site.write("Corefile", &text)
}

impl Cluster {
    /// Gives a name to an address outside the cluster, such as one at which a test listens. Pods know it after a moment.
    ///
    /// # Errors
    /// When the file of such names cannot be written.
    pub fn name_outside(&self, name: &str, address: IpAddr) -> Result<(), ClusterError> {
        let path = self.site.path(HOSTS);
        let failed = || ClusterError::io(format!("write {}", path.display()));
        let mut file = OpenOptions::new().append(true).open(&path).map_err(failed())?;
        writeln!(file, "{address} {name}").map_err(failed())
    }
}

/// The Service by which pods find it, and its one endpoint, which is no pod.
pub fn objects(site: &Site) -> [(&'static str, Value); 2] {
    let port = |protocol: &str| json!({"name": protocol.to_lowercase(), "port": 53, "protocol": protocol});
    let ports = [port("UDP"), port("TCP")];
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": site.addresses.dns_service(), "ports": ports},
    });
    let endpoints = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [site.addresses.node()], "nodeName": NODE}],
    });
    [
        ("/api/v1/namespaces/kube-system/services", service),
        ("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", endpoints),
    ]
}
