//! kube-proxy and its configuration.

use serde_json::json;

use crate::ClusterError;
use crate::papers::NODE;
use crate::site::{ProxyMode, Site};

pub fn arguments(site: &Site) -> Vec<String> {
    vec![format!("--config={}", site.text("kube-proxy.json"))]
}

pub fn configure(site: &Site) -> Result<(), ClusterError> {
    let mode = match site.options.proxy_mode {
        ProxyMode::Iptables => "iptables",
        ProxyMode::Nftables => "nftables",
    };
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": site.text("kubeconfig/kube-proxy")},
        "mode": mode,
        "clusterCIDR": site.families(site.addresses.pods(), site.addresses.pods_v6()).join(","),
        "hostnameOverride": NODE,
        "oomScoreAdj": 0,
        // The size of the table is the machine's affair.
        "conntrack": {"maxPerCore": 0, "min": 0},
    });
    site.write("kube-proxy.json", &format!("{config:#}"))
}
