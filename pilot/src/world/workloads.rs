//! Workloads by address.

use crate::model::WorkloadInfo;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// All workloads whose address is known.
#[derive(Clone, Debug, Default)]
pub struct Workloads(HashMap<IpAddr, Arc<WorkloadInfo>>);

impl Workloads {
    /// The workload with this address.
    pub fn get(&self, address: IpAddr) -> Option<&Arc<WorkloadInfo>> {
        self.0.get(&address)
    }

    /// Indexes workloads; what equals an entry of `old` keeps its allocation.
    pub fn new(infos: impl IntoIterator<Item = WorkloadInfo>, old: &Workloads) -> Self {
        let shared = infos.into_iter().map(|info| {
            let kept = old.get(info.address).filter(|known| ***known == info);
            (info.address, kept.cloned().unwrap_or_else(|| Arc::new(info)))
        });
        Self(shared.collect())
    }

    /// All workloads, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<WorkloadInfo>> {
        self.0.values()
    }
}
