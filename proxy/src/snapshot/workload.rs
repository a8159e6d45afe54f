//! `istio.workload.Address`: who an address is, for metrics.

use record::Workload;
use xds::workload::{Address, AddressType, Workload as XdsWorkload};

use super::metadata::called_as_usual;
use super::reason::Reason;

/// Compiles an address that is a workload's.
pub(super) fn compile(address: &Address) -> Result<Workload, Reason> {
    match &address.r#type {
        Some(AddressType::Workload(workload)) => Ok(from(workload)),
        Some(AddressType::Service(_)) => Err(Reason::at("service", "is the address of a service and of no workload")),
        None => Err(Reason::at("type", "is missing")),
    }
}

fn from(source: &XdsWorkload) -> Workload {
    let unknown = Workload::default();
    let or = |text: &str, otherwise: String| if text.is_empty() { otherwise } else { text.to_owned() };
    let namespace = or(&source.namespace, unknown.namespace);
    let account = or(&source.service_account, "default".into());
    let principal = if source.trust_domain.is_empty() {
        unknown.principal
    } else {
        format!("spiffe://{}/ns/{namespace}/sa/{account}", source.trust_domain)
    };
    let name = or(&source.workload_name, or(&source.name, unknown.name));
    let mut workload = Workload {
        canonical_service: or(&source.canonical_name, unknown.canonical_service),
        canonical_revision: or(&source.canonical_revision, unknown.canonical_revision),
        cluster: or(&source.cluster_id, unknown.cluster),
        app: unknown.app,
        version: unknown.version,
        name,
        namespace,
        principal,
    };
    called_as_usual(&mut workload);
    workload
}
