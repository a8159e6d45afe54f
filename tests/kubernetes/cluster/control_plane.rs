//! The command lines of etcd, the API server, the controller manager and the scheduler.

use crate::site::Site;

/// Only on loopback, without certificates; and without waiting for a disk, for nothing shall outlive the cluster.
pub fn etcd(site: &Site) -> Vec<String> {
    let (client, peer) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    arguments(&[
        ("name", "node"),
        ("data-dir", &site.text("etcd")),
        ("listen-client-urls", client),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", &format!("node={peer}")),
        ("unsafe-no-fsync", "true"),
        // A single member need not wait for the votes of others.
        ("heartbeat-interval", "10"),
        ("election-timeout", "100"),
        ("log-level", "warn"),
    ])
}

pub fn api_server(site: &Site) -> Vec<String> {
    let pki = |name: &str| site.text(&format!("pki/{name}"));
    arguments(&[
        ("etcd-servers", "http://127.0.0.1:2379"),
        ("advertise-address", &site.addresses.node().to_string()),
        ("secure-port", "6443"),
        ("service-cluster-ip-range", &site.services()),
        ("allow-privileged", "true"),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("client-ca-file", &pki("ca.crt")),
        ("tls-cert-file", &pki("apiserver.crt")),
        ("tls-private-key-file", &pki("apiserver.key")),
        ("kubelet-certificate-authority", &pki("ca.crt")),
        ("kubelet-client-certificate", &pki("apiserver-kubelet.crt")),
        ("kubelet-client-key", &pki("apiserver-kubelet.key")),
        ("kubelet-preferred-address-types", "InternalIP"),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        ("service-account-key-file", &pki("tokens.pub")),
        ("service-account-signing-key-file", &pki("tokens.key")),
        ("requestheader-client-ca-file", &pki("ca.crt")),
        // With one authority for all, only this name may speak for others.
        ("requestheader-allowed-names", "aggregator"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ("proxy-client-cert-file", &pki("aggregator.crt")),
        ("proxy-client-key-file", &pki("aggregator.key")),
        ("profiling", "false"),
    ])
}

pub fn controller_manager(site: &Site) -> Vec<String> {
    let pki = |name: &str| site.text(&format!("pki/{name}"));
    let mut arguments = arguments(&[
        ("service-cluster-ip-range", &site.services()),
        ("cluster-signing-cert-file", &pki("ca.crt")),
        ("cluster-signing-key-file", &pki("ca.key")),
        ("root-ca-file", &pki("ca.crt")),
        ("service-account-private-key-file", &pki("tokens.key")),
        ("use-service-account-credentials", "true"),
        ("flex-volume-plugin-dir", &site.text("volume-plugins")),
        // Tests take the API server away for longer than the usual 50 s; the one node is not gone when it comes back.
        ("node-monitor-grace-period", "10m"),
        ("kube-api-qps", "200"),
        ("kube-api-burst", "400"),
    ]);
    arguments.extend(client(site, "controller-manager"));
    arguments
}

pub fn scheduler(site: &Site) -> Vec<String> {
    let mut arguments = arguments(&[("kube-api-qps", "200"), ("kube-api-burst", "400")]);
    arguments.extend(client(site, "scheduler"));
    arguments
}

/// How a controller speaks with the API server, and asks it about its own callers. There is one of each, so nobody
/// leads an election.
fn client(site: &Site, name: &str) -> Vec<String> {
    let kubeconfig = site.text(&format!("kubeconfig/{name}"));
    arguments(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("leader-elect", "false"),
    ])
}

fn arguments(flags: &[(&str, &str)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}
