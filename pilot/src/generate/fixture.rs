//! A small shop for tests: worlds from YAML, by the same way that a configuration directory takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use super::{Families, Viewer};
use crate::build::{Snapshot, build};
use crate::catalog::MeshCatalog;
use crate::diff::diff;
use crate::model::Labels;
use crate::source::{Candidates, Directory};
use crate::validate::Settings;
use crate::world::{Mesh, World};

const SHOP: &str = include_str!("shop.yaml");

/// The shop, and objects beside it that may change.
pub(crate) struct Shop {
    candidates: Candidates,
    snapshot: Snapshot,
}

impl Shop {
    /// Without further objects.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With further objects.
    pub(crate) fn with(objects: &str) -> Self {
        let empty = Self { candidates: Candidates::default(), snapshot: Snapshot::empty(Arc::new(Mesh::default())) };
        empty.next(objects)
    }

    pub(crate) fn world(&self) -> World {
        self.snapshot.world.clone()
    }

    /// Puts these objects beside the shop, in place of those before, and tells the catalog.
    pub(crate) fn apply(&mut self, catalog: &MeshCatalog, objects: &str) {
        let next = self.next(objects);
        let changed = diff(&self.snapshot.world, &next.snapshot.world);
        catalog.update(Arc::new(next.world()), &changed);
        *self = next;
    }

    fn next(&self, objects: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("shop.yaml"), SHOP).unwrap();
        std::fs::write(directory.path().join("more.yaml"), objects).unwrap();
        let settings = Settings { assume_sidecars: true, ..Settings::default() };
        let (_directory, reload, _running) = Directory::open(directory.path().to_owned(), settings).unwrap();
        assert!(reload.problems.is_empty(), "{:?}", reload.problems);
        for (object, placed) in reload.candidates.iter() {
            assert!(placed.object.content.is_some(), "{object}: {:?}", placed.object.problems);
        }
        let changed = reload.candidates.changed_since(&self.candidates);
        let snapshot = build(&reload.candidates, &changed, &self.snapshot);
        Self { candidates: reload.candidates, snapshot }
    }
}

/// The world of the shop alone.
pub(crate) fn shop() -> World {
    Shop::new().world()
}

/// The world of the shop and further objects.
pub(crate) fn shop_with(objects: &str) -> World {
    Shop::with(objects).world()
}

/// A VirtualService of the shop for a host of the same name.
pub(crate) fn virtual_service(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  hosts: [{name}]\n  http:{rules}"
    )
}

/// An HTTPRoute of a namespace for a Service of the shop.
pub(crate) fn http_route(name: &str, namespace: &str, parent: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  parentRefs: [{{group: '', kind: Service, namespace: shop, name: {parent}}}]\n  rules:{rules}\n---\n"
    )
}

/// A proxy without labels.
pub(crate) fn viewer(namespace: &str, address: [u8; 4]) -> Viewer {
    Viewer { namespace: namespace.into(), labels: Labels::default(), address: address.into(), families: Families::V4 }
}

/// A client in the shop that serves nothing.
pub(crate) fn frontend() -> Viewer {
    viewer("shop", [10, 0, 0, 9])
}
