//! Who a sidecar's workload is and where its control plane is: the same for `meltemi proxy` and `meltemi agent`.

use anyhow::{Context, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use xds::node::NodeInfo;

/// The canonical service of a workload is named by the first of these labels, else it is the workload's name (Istio's order).
const NAME_LABELS: [&str; 3] = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];

/// Arguments of every sidecar; the environment variables are those of the downward API as Istio's template names them.
#[derive(Debug, Clone, Args)]
pub struct WorkloadArgs {
    /// Name of the pod.
    #[arg(long, env = "POD_NAME")]
    pub pod: String,
    /// Namespace of the pod.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Service account of the pod.
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "default")]
    pub service_account: String,
    /// Address of the pod.
    #[arg(long, env = "INSTANCE_IP")]
    pub ip: IpAddr,
    /// All addresses of the pod, comma-separated; without it there is the one.
    #[arg(long, env = "INSTANCE_IPS", value_delimiter = ',')]
    pub ips: Vec<IpAddr>,
    /// Name of the workload, such as its Deployment; the pod's name without one.
    #[arg(long, env = "ISTIO_META_WORKLOAD_NAME")]
    pub workload: Option<String>,
    /// A label of the pod, once for each.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Id of the Kubernetes cluster.
    #[arg(long, env = "ISTIO_META_CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// Trust domain of the mesh.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// Address of the control plane's TLS port, `host:port`.
    #[arg(long, env = "CA_ADDR", default_value = "meltemi.meltemi-system.svc:15012")]
    pub control_plane: String,
    /// Name that the control plane's certificate must have.
    #[arg(long, default_value = "meltemi.meltemi-system.svc")]
    pub control_plane_name: String,
    /// PEM file with the mesh's root certificates.
    #[arg(long, default_value = "/var/run/secrets/istio/root-cert.pem")]
    pub root_cert: PathBuf,
    /// File with the token that proves the service account to the CA.
    #[arg(long, default_value = "/var/run/secrets/tokens/istio-token")]
    pub token: PathBuf,
    /// Life to ask for each certificate; the CA may give less.
    #[arg(long, env = "SECRET_TTL", default_value = "24h", value_parser = crate::duration::parse)]
    pub certificate_ttl: Duration,
    /// SO_MARK for the sidecar's own connections, where the redirect rules tell them by mark and not by uid.
    #[arg(long)]
    pub mark: Option<u32>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no label; write NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl WorkloadArgs {
    /// The labels as a map.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.labels.iter().cloned().collect()
    }

    /// What the workload is called in metrics.
    pub fn canonical_service(&self) -> String {
        let labels = self.labels();
        let named = NAME_LABELS.iter().find_map(|label| labels.get(*label).filter(|value| !value.is_empty()));
        named.unwrap_or_else(|| self.workload.as_ref().unwrap_or(&self.pod)).clone()
    }

    /// All addresses of the pod, its own first.
    pub fn ips(&self) -> Vec<IpAddr> {
        let others = self.ips.iter().filter(|ip| **ip != self.ip);
        std::iter::once(&self.ip).chain(others).copied().collect()
    }

    /// The description that goes into every xDS stream.
    pub fn node(&self, user_agent: &str) -> NodeInfo {
        NodeInfo {
            role: "sidecar".to_owned(),
            ip: Some(self.ip),
            pod: self.pod.clone(),
            namespace: self.namespace.clone(),
            domain: format!("{}.svc.cluster.local", self.namespace),
            cluster: format!("{}.{}", self.canonical_service(), self.namespace),
            labels: self.labels(),
            workload: self.workload.clone().unwrap_or_else(|| self.pod.clone()),
            service_account: self.service_account.clone(),
            cluster_id: self.cluster_id.clone(),
            instance_ips: self.ips(),
            user_agent: user_agent.to_owned(),
            user_agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..NodeInfo::default()
        }
    }

    /// Checks what would otherwise fail again and again later.
    ///
    /// # Errors
    /// Says which file is missing and where it comes from.
    pub fn check(&self) -> anyhow::Result<()> {
        std::fs::metadata(&self.root_cert)
            .with_context(|| format!("root certificates {} (--root-cert)", self.root_cert.display()))?;
        if !self.token.is_file() {
            bail!("no token in {} (--token); `meltemi token` issues one", self.token.display());
        }
        Ok(())
    }
}
