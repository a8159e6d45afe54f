//! The labels of namespaces as the API server tells them, for the injector's warnings.

use super::NamespaceLabels;
use citadel::kubernetes::{WATCH_SECONDS, explain_watch};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use record::LogLimit;
use std::pin::pin;
use std::time::Duration;

static UNSEEN: LogLimit = LogLimit::new(Duration::from_secs(60));

/// The labels, and the task that follows them for ever. Needs `list` and `watch` on Namespaces.
pub fn watch_namespaces(client: Client) -> (NamespaceLabels, impl Future<Output = ()> + Send + 'static) {
    let (known, writer) = store::<PartialObjectMeta<Namespace>>();
    let labels = move |name: &str| known.get(&ObjectRef::new(name))?.metadata.labels.clone();
    let following = async move {
        let all: Api<PartialObjectMeta<Namespace>> = Api::all(client);
        let events =
            watcher(all, watcher::Config::default().timeout(WATCH_SECONDS)).default_backoff().modify(|namespace| {
                namespace.metadata.managed_fields = None;
                namespace.metadata.annotations = None;
            });
        let mut events = pin!(events.reflect(writer));
        while let Some(event) = events.next().await {
            if let Err(error) = event
                && let Some(left_out) = UNSEEN.admit()
            {
                let what = "labels of namespaces go unseen, and warnings about Pod Security may be missing";
                tracing::warn!(left_out, "{what}: {}", explain_watch(&error));
            }
        }
    };
    (Box::new(labels), following)
}
