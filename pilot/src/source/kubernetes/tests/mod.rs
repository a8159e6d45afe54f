//! Events as kube's watcher gives them go in; candidates and what is said of kinds come out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod objects;
mod watching;

use super::kinds::{Watched, choose, missing};
use super::metrics::WatchMetrics;
use super::observed::Observed;
use super::store::Store;
use super::watches::What;
use crate::api::Kind;
use crate::build::{Snapshot, build};
use crate::model::{Host, ObjectRef};
use crate::object::Placed;
use crate::source::Reload;
use crate::status::Statuses;
use crate::validate::Settings;
use kube::api::ApiResource;
use kube::core::{GroupVersionKind, Status};
use kube::runtime::watcher::{Error, Event};
use record::Metrics;
use serde_json::{Value, json};
use std::sync::Arc;

const ISTIO: &str = "networking.istio.io";

/// What a cluster with the mesh's most used kinds serves.
fn served() -> Vec<ApiResource> {
    [
        ("", "v1", "Namespace"),
        ("", "v1", "Service"),
        ("", "v1", "Pod"),
        ("", "v1", "Node"),
        ("discovery.k8s.io", "v1", "EndpointSlice"),
        (ISTIO, "v1", "VirtualService"),
        ("security.istio.io", "v1", "PeerAuthentication"),
        (ISTIO, "v1", "Sidecar"),
        ("gateway.networking.k8s.io", "v1alpha2", "TCPRoute"),
    ]
    .map(|(group, version, kind)| ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)))
    .into()
}

struct Cluster {
    store: Store,
    metrics: Metrics,
}

impl Cluster {
    /// Everything is watched, nothing was heard yet.
    fn new() -> Self {
        let metrics = Metrics::new();
        let settings = Settings { from_cluster: true, ..Settings::default() };
        let mut store = Store::new(settings, WatchMetrics::new(&metrics));
        store.set_watched(&choose(&served()).0, Vec::new());
        Self { store, metrics }
    }

    /// Every kind was listed.
    fn listed(objects: &[(&str, Value)]) -> Self {
        let mut cluster = Self::new();
        for watched in choose(&served()).0 {
            let own = objects.iter().filter(|(of, _)| *of == &*watched.name).map(|(_, object)| object.clone());
            cluster.list(&watched.name, own.collect());
        }
        cluster
    }

    fn list(&mut self, of: &str, objects: Vec<Value>) {
        self.event(of, Event::Init);
        for object in objects {
            self.event(of, Event::InitApply(observed(object)));
        }
        self.event(of, Event::InitDone);
    }

    fn event(&mut self, of: &str, event: Event<Observed>) -> bool {
        self.store.take(of, What::Event(event))
    }

    fn apply(&mut self, of: &str, object: Value) -> bool {
        self.event(of, Event::Apply(observed(object)))
    }

    fn fail(&mut self, of: &str, code: u16, message: &str) -> bool {
        let status = Status { code, message: message.into(), ..Status::default() };
        self.store.take(of, What::Failed(Error::InitialListFailed(kube::Error::Api(Box::new(status)))))
    }

    fn reload(&self) -> Reload {
        self.store.reload()
    }

    fn problems(&self) -> Vec<String> {
        self.reload().problems.iter().map(|problem| format!("{}: {}", problem.place, problem.message)).collect()
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.reload().candidates.of(kind).keys().map(|object| object.name.to_string()).collect()
    }

    fn placed(&self, kind: Kind, name: &str) -> Placed {
        let found = self.reload();
        let found = found.candidates.of(kind).iter().find(|(object, _)| &*object.name == name);
        found.expect("no such object").1.clone()
    }
}

fn observed(object: Value) -> Observed {
    // By way of text, as from an API server.
    serde_json::from_str(&object.to_string()).unwrap()
}

fn virtual_service(name: &str, generation: i64, host: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": name, "namespace": "shop", "generation": generation, "uid": format!("uid-{name}"),
            "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {"hosts": [name], "http": [{"route": [{"destination": {"host": host}}]}]},
    })
}

fn service(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": spec})
}

/// A pod as an API server sends it, with a status that is mostly not the mesh's business.
fn pod(name: &str, ip: &str, ready: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "labels": {"app": "catalog"},
            "annotations": {"sidecar.istio.io/status": "{}", "kubernetes.io/limit-ranger": "x"},
        },
        "spec": {
            "serviceAccountName": "catalog", "nodeName": "node1", "futureField": {"of": "a newer cluster"},
            "containers": [{"name": "app", "image": "catalog:1", "ports": [{"name": "web", "containerPort": 8080}]}],
        },
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": ready, "lastProbeTime": null}],
        },
    })
}

fn slice(name: &str, of: &str, address: &str, pod: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{
            "addresses": [address], "nodeName": "node1", "zone": "b",
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod},
        }],
    })
}
