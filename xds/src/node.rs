//! What a data plane says about itself in the first request of a stream. A claim, not a proof: who admits the
//! client compares it with the certificate.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    core,
    google::{ListValue, Struct, value::Kind},
    struct_value::{string_field, string_value, struct_field, struct_of, struct_value},
};

/// The client feature of a data plane that asks for what it needs by name when it needs it.
pub const ON_DEMAND: &str = "meltemi.on-demand";

/// The user agent name of Meltemi's own proxy.
pub const USER_AGENT: &str = "meltemi";

/// A data plane's description of itself (Envoy: `envoy.config.core.v3.Node`, with Istio's id and metadata).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeInfo {
    /// `sidecar`, `router`, ...: the first part of the id.
    pub role: String,
    /// The pod's address: the second part of the id.
    pub ip: Option<IpAddr>,
    /// The pod's name: the third part of the id up to its last dot.
    pub pod: String,
    /// The pod's namespace: the rest of the third part.
    pub namespace: String,
    /// The DNS domain of the namespace, such as `shop.svc.cluster.local`: the fourth part.
    pub domain: String,
    /// `<canonical service>.<namespace>`.
    pub cluster: String,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// The workload's name, such as that of the Deployment. Empty if not said.
    pub workload: String,
    /// The service account. Empty if not said.
    pub service_account: String,
    /// The Kubernetes cluster. Empty if not said.
    pub cluster_id: String,
    /// All addresses of the pod.
    pub instance_ips: Vec<IpAddr>,
    /// What the client can do, such as [`ON_DEMAND`].
    pub features: BTreeSet<String>,
    /// `envoy`, `meltemi`, ...
    pub user_agent: String,
    /// The version of the user agent as text. Empty if not said.
    pub user_agent_version: String,
}

/// Why a node's description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The id has another form.
    #[error("node id `{0}` is not of the form `<role>~<ip>~<pod>.<namespace>~<dns domain>`")]
    Id(String),
    /// The second part of the id is no address.
    #[error("node id `{id}`: `{ip}` is no IP address")]
    Ip {
        /// The whole id.
        id: String,
        /// Its second part.
        ip: String,
    },
    /// The metadata contradicts the id.
    #[error("node id `{id}` says namespace `{in_id}`, its metadata NAMESPACE says `{in_metadata}`; they must agree")]
    Namespace {
        /// The whole id.
        id: String,
        /// The namespace in the id.
        in_id: String,
        /// The namespace in the metadata.
        in_metadata: String,
    },
}

impl NodeInfo {
    /// Reads Envoy's description. The id must have Istio's four parts, and the metadata must not contradict it.
    pub fn from_envoy(node: &core::Node) -> Result<Self, NodeError> {
        let mut info = Self::from_id(&node.id)?;
        info.cluster.clone_from(&node.cluster);
        info.features = node.client_features.iter().cloned().collect();
        info.user_agent.clone_from(&node.user_agent_name);
        if let Some(core::node::UserAgentVersionType::UserAgentVersion(version)) = &node.user_agent_version_type {
            info.user_agent_version.clone_from(version);
        }
        if let Some(metadata) = &node.metadata {
            info.read_metadata(&node.id, metadata)?;
        }
        Ok(info)
    }

    fn from_id(id: &str) -> Result<Self, NodeError> {
        let malformed = || NodeError::Id(id.to_owned());
        let parts: Vec<&str> = id.split('~').collect();
        let [role, ip, workload, domain] = parts[..] else { return Err(malformed()) };
        let (pod, namespace) = workload.rsplit_once('.').ok_or_else(malformed)?;
        if role.is_empty() || pod.is_empty() || namespace.is_empty() {
            return Err(malformed());
        }
        let ip = match ip {
            "" => None,
            ip => Some(ip.parse().map_err(|_| NodeError::Ip { id: id.to_owned(), ip: ip.to_owned() })?),
        };
        Ok(Self {
            role: role.to_owned(),
            ip,
            pod: pod.to_owned(),
            namespace: namespace.to_owned(),
            domain: domain.to_owned(),
            ..Self::default()
        })
    }

    fn read_metadata(&mut self, id: &str, metadata: &Struct) -> Result<(), NodeError> {
        if let Some(namespace) = string_field(metadata, "NAMESPACE").filter(|claimed| *claimed != self.namespace) {
            return Err(NodeError::Namespace {
                id: id.to_owned(),
                in_id: self.namespace.clone(),
                in_metadata: namespace.to_owned(),
            });
        }
        let text = |key| string_field(metadata, key).unwrap_or_default().to_owned();
        self.workload = text("WORKLOAD_NAME");
        self.service_account = text("SERVICE_ACCOUNT");
        self.cluster_id = text("CLUSTER_ID");
        self.instance_ips = instance_ips(metadata);
        if let Some(labels) = struct_field(metadata, "LABELS") {
            self.labels = labels
                .fields
                .keys()
                .filter_map(|key| Some((key.clone(), string_field(labels, key)?.to_owned())))
                .collect();
        }
        Ok(())
    }

    /// The node id: `<role>~<ip>~<pod>.<namespace>~<dns domain>`.
    pub fn id(&self) -> String {
        let ip = self.ip.map(|ip| ip.to_string()).unwrap_or_default();
        format!("{}~{ip}~{}.{}~{}", self.role, self.pod, self.namespace, self.domain)
    }

    /// Whether the client asks by name when it needs something, instead of taking everything.
    pub fn on_demand(&self) -> bool {
        self.features.contains(ON_DEMAND)
    }

    /// Writes Envoy's description, as [`Self::from_envoy`] reads it.
    pub fn to_envoy(&self) -> core::Node {
        let labels = struct_of(self.labels.iter().map(|(key, value)| (key.clone(), string_value(value.clone()))));
        let ips: Vec<String> = self.instance_ips.iter().map(IpAddr::to_string).collect();
        let metadata = struct_of([
            ("NAMESPACE", string_value(self.namespace.clone())),
            ("LABELS", struct_value(labels)),
            ("WORKLOAD_NAME", string_value(self.workload.clone())),
            ("SERVICE_ACCOUNT", string_value(self.service_account.clone())),
            ("CLUSTER_ID", string_value(self.cluster_id.clone())),
            ("INSTANCE_IPS", string_value(ips.join(","))),
        ]);
        core::Node {
            id: self.id(),
            cluster: self.cluster.clone(),
            metadata: Some(metadata),
            user_agent_name: self.user_agent.clone(),
            user_agent_version_type: (!self.user_agent_version.is_empty())
                .then(|| core::node::UserAgentVersionType::UserAgentVersion(self.user_agent_version.clone())),
            client_features: self.features.iter().cloned().collect(),
            ..core::Node::default()
        }
    }
}

/// `INSTANCE_IPS`: one text with commas between (Istio), or a list. What is no address is left out.
fn instance_ips(metadata: &Struct) -> Vec<IpAddr> {
    let listed = |list: &ListValue| -> Vec<IpAddr> {
        list.values
            .iter()
            .filter_map(|value| match value.kind.as_ref()? {
                Kind::StringValue(ip) => ip.parse().ok(),
                _ => None,
            })
            .collect()
    };
    match metadata.fields.get("INSTANCE_IPS").and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(ips)) => ips.split(',').filter_map(|ip| ip.trim().parse().ok()).collect(),
        Some(Kind::ListValue(list)) => listed(list),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn catalog() -> NodeInfo {
        NodeInfo {
            role: "sidecar".into(),
            ip: Some([10, 0, 0, 5].into()),
            pod: "catalog-v1.0".into(),
            namespace: "shop".into(),
            domain: "shop.svc.cluster.local".into(),
            cluster: "catalog.shop".into(),
            labels: [("app".to_owned(), "catalog".to_owned()), ("version".to_owned(), "v1".to_owned())].into(),
            workload: "catalog-v1".into(),
            service_account: "catalog".into(),
            cluster_id: "Kubernetes".into(),
            instance_ips: vec![[10, 0, 0, 5].into(), "fd00::5".parse().unwrap()],
            features: [ON_DEMAND.to_owned()].into(),
            user_agent: USER_AGENT.into(),
            user_agent_version: "0.1.0".into(),
        }
    }

    #[test]
    fn a_description_survives_both_ways() {
        let node = catalog().to_envoy();
        assert_eq!(node.id, "sidecar~10.0.0.5~catalog-v1.0.shop~shop.svc.cluster.local");
        assert_eq!(NodeInfo::from_envoy(&node).unwrap(), catalog());
        assert!(catalog().on_demand());
    }

    #[test]
    fn a_node_without_metadata_has_what_its_id_says() {
        let node = core::Node { id: "router~~gw-1.edge~edge.svc.cluster.local".into(), ..core::Node::default() };
        let info = NodeInfo::from_envoy(&node).unwrap();
        assert_eq!((info.role.as_str(), info.ip, info.pod.as_str()), ("router", None, "gw-1"));
        assert_eq!(info.namespace, "edge");
        assert!(!info.on_demand());
    }

    #[test]
    fn malformed_ids_are_refused_with_the_form_that_is_needed() {
        for id in [
            "",
            "sidecar",
            "a~b~c",
            "sidecar~10.0.0.1~pod~d",
            "sidecar~10.0.0.1~.ns~d",
            "~10.0.0.1~p.n~d",
            "a~1.2.3.4~p.n~d~e",
        ] {
            let error = NodeInfo::from_envoy(&core::Node { id: id.into(), ..core::Node::default() }).unwrap_err();
            assert_eq!(error, NodeError::Id(id.into()), "{id}");
            assert!(error.to_string().contains("<pod>.<namespace>"));
        }
        let node = core::Node { id: "sidecar~10.0.0~p.n~d".into(), ..core::Node::default() };
        assert!(NodeInfo::from_envoy(&node).unwrap_err().to_string().contains("`10.0.0` is no IP address"));
    }

    #[test]
    fn metadata_may_not_claim_another_namespace_than_the_id() {
        let mut node = catalog().to_envoy();
        node.id = "sidecar~10.0.0.5~catalog.bank~bank.svc.cluster.local".into();
        let error = NodeInfo::from_envoy(&node).unwrap_err().to_string();
        assert!(error.contains("`bank`") && error.contains("`shop`"), "{error}");
    }
}
