//! Who is who in the cluster: a certificate for each server, a kubeconfig for each client.

use rcgen::KeyPair;

use crate::pki::{Authority, Papers, Subject};
use crate::site::Site;
use crate::{ClusterError, Kubeconfig};

/// The name of the one node.
pub const NODE: &str = "node";
/// The group that may do everything.
const MASTERS: Option<&str> = Some("system:masters");

/// Makes all keys and certificates in the folder `pki`, and a kubeconfig for each client in `kubeconfig`.
/// Returns that of the administrator.
pub fn issue(site: &Site) -> Result<Kubeconfig, ClusterError> {
    let authority = Authority::create()?;
    let root = authority.papers();
    write(site, "ca", &root)?;
    for (name, user, group, names) in servers(site) {
        write(site, name, &authority.issue(Subject { user, group }, &names)?)?;
    }
    sign_tokens(site)?;
    let server = format!("https://{}:6443", site.addresses.node());
    for (name, user, group) in clients() {
        let papers = authority.issue(Subject { user, group }, &[])?;
        let config = Kubeconfig::new(server.clone(), &root.certificate, papers);
        site.write(&format!("kubeconfig/{name}"), &config.text())?;
    }
    let papers = authority.issue(Subject { user: "admin", group: MASTERS }, &[])?;
    let admin = Kubeconfig::new(server, &root.certificate, papers);
    admin.write(&site.path("kubeconfig/admin"))?;
    Ok(admin)
}

/// Name of the files, user, group, and the names under which it serves.
type Server = (&'static str, &'static str, Option<&'static str>, Vec<String>);

fn servers(site: &Site) -> Vec<Server> {
    let node = site.addresses.node().to_string();
    let service = "kubernetes.default.svc.cluster.local";
    let mut api: Vec<String> =
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc", service, "localhost"].map(str::to_owned).into();
    api.extend([node.clone(), site.addresses.api_service().to_string(), "127.0.0.1".to_owned()]);
    vec![
        ("apiserver", "kube-apiserver", None, api),
        ("kubelet", "system:node:node", Some("system:nodes"), vec![NODE.to_owned(), node]),
        // As clients: of kubelets, and of extension API servers.
        ("apiserver-kubelet", "apiserver-kubelet", MASTERS, vec![]),
        ("aggregator", "aggregator", None, vec![]),
    ]
}

fn clients() -> [(&'static str, &'static str, Option<&'static str>); 4] {
    [
        ("controller-manager", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
        ("kubelet", "system:node:node", Some("system:nodes")),
        ("kube-proxy", "system:kube-proxy", None),
    ]
}

/// The key that signs the tokens of service accounts.
fn sign_tokens(site: &Site) -> Result<(), ClusterError> {
    let failed = |source| ClusterError::Certificate { who: "the tokens' signer".to_owned(), source };
    let key = KeyPair::generate().map_err(failed)?;
    site.write("pki/tokens.key", &key.serialize_pem())?;
    site.write("pki/tokens.pub", &key.public_key_pem())
}

fn write(site: &Site, name: &str, papers: &Papers) -> Result<(), ClusterError> {
    site.write(&format!("pki/{name}.crt"), &papers.certificate)?;
    site.write(&format!("pki/{name}.key"), &papers.key)
}
