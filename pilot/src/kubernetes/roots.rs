//! The roots of the mesh in a ConfigMap of every namespace, where a pod's sidecar finds them before it can ask anybody.
//! The leader keeps them: a new namespace has one at once, an edit or deletion is undone within seconds.

use std::sync::Arc;
use std::time::Duration;

use citadel::ca::CertificateAuthority;
use citadel::kubernetes::{WATCH_SECONDS, explain, explain_watch, roots_annotations};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use record::{CounterVec, LogLimit, Metrics};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::due::Due;
use super::leader::while_leading;
use super::listed::Listed;

pub use citadel::kubernetes::{ROOTS_CONFIG_MAP as CONFIG_MAP, ROOTS_KEY as KEY};

const MANAGER: &str = "meltemi";
const LABEL: (&str, &str) = ("app", "meltemi");
/// A mesh of a thousand namespaces must not fall upon the API server at once.
const MOST_AT_ONCE: usize = 8;
const DEADLINE: Duration = Duration::from_secs(10);

/// Keeps the ConfigMaps while this replica leads; `authority` says what the roots are. Ends with the election. Needs
/// `list` and `watch` on Namespaces, and on ConfigMaps of this name `list`, `watch`, `create` and `patch`.
pub async fn run(
    client: Client,
    authority: watch::Receiver<Arc<CertificateAuthority>>,
    leads: watch::Receiver<bool>,
    metrics: Metrics,
) {
    let help = "Writes of the ConfigMap with the roots, by result: written, gone (the namespace is), failed";
    let written = metrics.counter_vec("meltemi_root_config_maps_total", help, &["result"]);
    while_leading(leads, || keep(client.clone(), authority.clone(), written.clone())).await;
}

struct Keeper {
    client: Client,
    ca: Arc<CertificateAuthority>,
    /// "Right" is a namespace that is not being deleted.
    namespaces: Listed<String>,
    config_maps: Listed<String>,
    due: Due<String>,
    written: CounterVec,
    failing: LogLimit,
}

enum Written {
    Done,
    Gone,
}

async fn keep(client: Client, mut authority: watch::Receiver<Arc<CertificateAuthority>>, written: CounterVec) {
    let mut keeper = Keeper::new(client.clone(), Arc::clone(&authority.borrow_and_update()), written);
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let config_maps: Api<ConfigMap> = Api::all(client);
    let all = watcher::Config::default().timeout(WATCH_SECONDS);
    let named = all.clone().fields(&format!("metadata.name={CONFIG_MAP}"));
    let mut namespaces = Box::pin(watcher(namespaces, all).default_backoff());
    let mut config_maps = Box::pin(watcher(config_maps, named).default_backoff());
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < MOST_AT_ONCE
            && let Some(namespace) = keeper.due.next(Instant::now())
        {
            under_way.push(write(keeper.client.clone(), namespace, Arc::clone(&keeper.ca)));
        }
        let next_at = keeper.due.next_at().filter(|_| under_way.len() < MOST_AT_ONCE);
        tokio::select! {
            Some(event) = namespaces.next() => keeper.namespace(event),
            Some(event) = config_maps.next() => keeper.config_map(event),
            Some((namespace, result)) = under_way.next(), if !under_way.is_empty() => keeper.finish(&namespace, result),
            Ok(()) = authority.changed() => keeper.ca_changed(&authority.borrow_and_update()),
            () = sleep_until(next_at.unwrap_or_else(Instant::now)), if next_at.is_some() => {}
        }
    }
}

impl Keeper {
    fn new(client: Client, ca: Arc<CertificateAuthority>, written: CounterVec) -> Self {
        Self {
            client,
            ca,
            namespaces: Listed::new(),
            config_maps: Listed::new(),
            due: Due::new(),
            written,
            failing: LogLimit::new(Duration::from_secs(10)),
        }
    }

    fn namespace(&mut self, event: watcher::Result<watcher::Event<PartialObjectMeta<Namespace>>>) {
        match event {
            Ok(event) => {
                let judge = |namespace: &PartialObjectMeta<Namespace>| {
                    (namespace.name_any(), namespace.metadata.deletion_timestamp.is_none())
                };
                let changed = self.namespaces.take(event, judge);
                self.look_at(changed);
            }
            Err(error) => self.unwatched("Namespaces", &error),
        }
    }

    fn config_map(&mut self, event: watcher::Result<watcher::Event<ConfigMap>>) {
        match event {
            Ok(event) => {
                let roots = self.ca.roots_pem();
                let judge = |map: &ConfigMap| (map.namespace().unwrap_or_default(), is_right(map, roots));
                let relisted = matches!(event, watcher::Event::InitDone);
                let changed = self.config_maps.take(event, judge);
                // Namespaces without one are in no list of them.
                self.look_at(if relisted { self.namespaces.keys().cloned().collect() } else { changed });
            }
            Err(error) => self.unwatched("ConfigMaps", &error),
        }
    }

    fn ca_changed(&mut self, ca: &Arc<CertificateAuthority>) {
        if std::mem::replace(&mut self.ca, Arc::clone(ca)).roots_pem() == ca.roots_pem() {
            return;
        }
        self.config_maps.all_wrong();
        let all = self.namespaces.keys().cloned().collect();
        self.look_at(all);
    }

    fn look_at(&mut self, namespaces: Vec<String>) {
        // A list that has not come yet must not look as if everything were missing.
        if !self.namespaces.complete() || !self.config_maps.complete() {
            return;
        }
        let now = Instant::now();
        for namespace in namespaces {
            if !self.namespaces.has(&namespace) {
                self.due.forget(&namespace);
            } else if !self.namespaces.is_right(&namespace) || self.config_maps.is_right(&namespace) {
                self.due.settled(&namespace);
            } else {
                self.due.ask(namespace, now);
            }
        }
    }

    fn finish(&mut self, namespace: &String, result: Result<Written, String>) {
        let now = Instant::now();
        let label = match result {
            Ok(Written::Done) => {
                self.due.done(namespace, now);
                "written"
            }
            Ok(Written::Gone) => {
                // What is still known of it is old, or another one of the same name has come: time tells.
                if self.namespaces.has(namespace) {
                    self.due.failed(namespace, now);
                } else {
                    self.due.forget(namespace);
                }
                "gone"
            }
            Err(reason) => {
                self.due.failed(namespace, now);
                if let Some(left_out) = self.failing.admit() {
                    tracing::warn!(
                        left_out,
                        "cannot write ConfigMap {namespace}/{CONFIG_MAP}, so new pods there will not start: {reason}"
                    );
                }
                "failed"
            }
        };
        self.written.with(&[label]).inc();
    }

    fn unwatched(&self, what: &str, error: &watcher::Error) {
        if let Some(left_out) = self.failing.admit() {
            tracing::warn!(left_out, "changes of {what} go unseen, and roots may be missing: {}", explain_watch(error));
        }
    }
}

fn is_right(map: &ConfigMap, roots: &str) -> bool {
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    text.is_some_and(|text| text == roots) && map.labels().get(LABEL.0).is_some_and(|value| value == LABEL.1)
}

/// Takes the key over from whoever wrote it last; other keys stay as they are.
async fn write(client: Client, namespace: String, ca: Arc<CertificateAuthority>) -> (String, Result<Written, String>) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": CONFIG_MAP,
            "namespace": namespace,
            "labels": { LABEL.0: LABEL.1 },
            "annotations": roots_annotations(&ca),
        },
        "data": { KEY: ca.roots_pem() },
    });
    let parameters = PatchParams::apply(MANAGER).force();
    let result = match timeout(DEADLINE, api.patch(CONFIG_MAP, &parameters, &Patch::Apply(&wanted))).await {
        Ok(Ok(_)) => Ok(Written::Done),
        Ok(Err(kube::Error::Api(status))) if is_gone(&status) => Ok(Written::Gone),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!("no answer of the API server within {DEADLINE:?}")),
    };
    (namespace, result)
}

/// The namespace went between the look at it and the write.
fn is_gone(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_not_found() || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
