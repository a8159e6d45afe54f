//! The source in a Kubernetes cluster: every kind of the mesh is listed and watched, and what arrives becomes the same
//! versions of objects that a directory gives. Runs in a thread of its own, so that building a world never keeps the
//! control plane's connections waiting.

mod discovery;
mod kinds;
mod metrics;
mod observed;
mod pace;
mod reader;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod trim;
mod trouble;
mod watches;

use super::{Reload, Running};
use crate::validate::Settings;
use citadel::kubernetes::bounded;
use metrics::WatchMetrics;
use reader::Reader;
use record::Metrics;
use std::{io, thread};
use store::Store;
use tokio::sync::oneshot;

/// Ends the watching when it is dropped.
pub struct Stopper {
    _ended: oneshot::Sender<()>,
}

/// A Kubernetes cluster as a source.
pub struct Cluster {
    config: kube::Config,
    store: Store,
}

impl Cluster {
    /// The cluster that `config` leads to. Nothing is asked of it yet.
    pub fn new(config: kube::Config, settings: Settings, metrics: &Metrics) -> Self {
        Self { config: bounded(config), store: Store::new(settings, WatchMetrics::new(metrics)) }
    }

    /// Calls `publish` from a thread of its own whenever something changed, until `Running` is dropped. Until everything
    /// is read for the first time it only hears what keeps it from being read.
    pub fn run(self, publish: impl FnMut(Reload) + Send + 'static) -> io::Result<Running> {
        let (ended, end) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("config".into());
        thread.spawn(move || {
            let reading = async {
                // The client belongs to this thread's runtime: its connections are served here and nowhere else.
                match kube::Client::try_from(self.config) {
                    Ok(client) => Reader::new(client, self.store, publish).run().await,
                    Err(error) => tracing::error!(%error, "cannot make a client of the API server; nothing is read"),
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = reading => {}
                    _ = end => {}
                }
            });
        })?;
        Ok(Running::Cluster(Stopper { _ended: ended }))
    }
}
