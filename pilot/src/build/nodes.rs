//! Where nodes are, and so where what runs on them is.

use super::Build;
use crate::api::Kind;
use crate::model::{Locality, Workload};
use crate::object::Content;
use std::collections::HashMap;
use std::sync::Arc;

/// The localities of nodes by name.
pub(super) struct Nodes<'a>(HashMap<&'a str, &'a Locality>);

impl Build<'_> {
    /// The nodes as they are in this build.
    pub(super) fn nodes(&self) -> Nodes<'_> {
        let nodes = self.objects(Kind::Node).contents().filter_map(|(key, content)| match content {
            Content::Node(locality) => Some((&*key.name, locality)),
            _ => None,
        });
        Nodes(nodes.collect())
    }
}

impl Nodes<'_> {
    /// A workload with the locality of its node.
    pub(super) fn located(&self, workload: &Arc<Workload>) -> Arc<Workload> {
        match self.0.get(&*workload.node) {
            Some(locality) if **locality != workload.locality => {
                Arc::new(Workload { locality: (*locality).clone(), ..(**workload).clone() })
            }
            _ => workload.clone(),
        }
    }

    /// Where an endpoint is: what its node says, else the zone that its slice says.
    pub(super) fn locality(&self, node: &str, zone: &Arc<str>) -> Locality {
        match self.0.get(node) {
            Some(locality) if !locality.zone.is_empty() || zone.is_empty() => (*locality).clone(),
            Some(locality) => Locality { zone: zone.clone(), ..(*locality).clone() },
            None => Locality { zone: zone.clone(), ..Locality::default() },
        }
    }
}
