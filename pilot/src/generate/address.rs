//! Who an address is (`istio.workload.Address`): what the other side of a connection is called in metrics.

use std::net::IpAddr;

use xds::workload::{Address, AddressType, Workload, WorkloadStatus, WorkloadType, ip_to_bytes};

use super::view::View;

/// The workload with this address; `None` when nobody is known there.
pub(super) fn generate(view: &View<'_>, address: IpAddr) -> Option<Address> {
    let workload = view.workload(address)?;
    let cluster = &view.mesh().cluster_id;
    let value = Workload {
        uid: format!("{cluster}//Pod/{}/{}", workload.namespace, workload.instance),
        name: workload.instance.to_string(),
        namespace: workload.namespace.to_string(),
        addresses: vec![ip_to_bytes(address)],
        trust_domain: view.mesh().trust_domain.to_string(),
        service_account: workload.service_account.to_string(),
        node: workload.node.to_string(),
        canonical_name: workload.canonical_service.to_string(),
        canonical_revision: workload.canonical_revision.to_string(),
        workload_type: WorkloadType::Deployment.into(),
        workload_name: workload.name.to_string(),
        status: WorkloadStatus::Healthy.into(),
        cluster_id: cluster.to_string(),
        ..Workload::default()
    };
    Some(Address { r#type: Some(AddressType::Workload(value)) })
}
