//! The node's agent and its configuration.

use serde_json::json;

use crate::ClusterError;
use crate::containerd;
use crate::papers::NODE;
use crate::site::Site;

pub fn arguments(site: &Site) -> Vec<String> {
    let node = site.families(site.addresses.node().to_string(), site.addresses.node_v6().to_string());
    [
        format!("--config={}", site.text("kubelet.json")),
        format!("--kubeconfig={}", site.text("kubeconfig/kubelet")),
        format!("--root-dir={}", site.text("kubelet")),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={}", node.join(",")),
        "--node-labels=topology.kubernetes.io/region=region-1,topology.kubernetes.io/zone=zone-1".to_owned(),
    ]
    .into()
}

pub fn configure(site: &Site) -> Result<(), ClusterError> {
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": site.text("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": site.text("pki/kubelet.crt"),
        "tlsPrivateKeyFile": site.text("pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket(site)),
        "clusterDNS": [site.addresses.dns_service()],
        "clusterDomain": "cluster.local",
        // The names that this machine knows are not the cluster's.
        "resolvConf": "",
        "podLogsDir": site.text("pod-logs"),
        "volumePluginDir": site.text("volume-plugins"),
        // Machines with version 1 of control groups are refused otherwise.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": site.control_group,
        "enforceNodeAllocatable": [],
        // What a container without CAP_SYS_RESOURCE may have.
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "maxPods": 250,
        // The images were imported; nobody can bring back what is collected.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
    });
    site.write("kubelet.json", &format!("{config:#}"))
}
