//! `injector.yaml` as it is mounted from a ConfigMap: read at the start, and again whenever its text changes. A wrong
//! new one is reported, and the last good one stays in force.

use super::metrics::FileMetrics;
use crate::inject::{ConfigError, InjectorConfig};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use record::Metrics;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often the file is looked at. The kubelet itself takes up to a minute to bring a change.
const LOOK: Duration = Duration::from_secs(1);

/// The injector cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InjectorFileError {
    /// The file cannot be read.
    #[error("cannot read the injector's configuration {}: {error}; is the ConfigMap mounted?", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is wrong.
    #[error("{}: {error}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ConfigError,
    },
}

/// The configuration file and what holds of it.
pub struct InjectorFile {
    path: PathBuf,
    current: ArcSwap<InjectorConfig>,
    /// What the last look found: the text, or why there was none.
    seen: Mutex<Result<String, String>>,
    metrics: FileMetrics,
}

impl InjectorFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Without a good configuration there is nothing to start with.
    pub fn open(path: PathBuf, metrics: &Metrics) -> Result<Self, InjectorFileError> {
        let metrics = FileMetrics::new(metrics);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Err(InjectorFileError::Read { path, error }),
        };
        let config = match InjectorConfig::read(&text) {
            Ok(config) => config,
            Err(error) => return Err(InjectorFileError::Wrong { path, error }),
        };
        metrics.valid.set(1.0);
        Ok(Self { path, current: ArcSwap::from_pointee(config), seen: Mutex::new(Ok(text)), metrics })
    }

    /// The configuration in force.
    pub fn current(&self) -> Arc<InjectorConfig> {
        self.current.load_full()
    }

    /// Follows the file for ever; a task of its own.
    pub async fn watch(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let file = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || file.look()).await {
                tracing::error!("cannot look at {}: {error}", self.path.display());
            }
        }
    }

    /// Reads the file again and takes it over when it changed.
    fn look(&self) {
        let found = fs::read_to_string(&self.path).map_err(|error| error.to_string());
        let mut seen = self.seen.lock();
        if *seen == found {
            return;
        }
        let read = match &found {
            Ok(text) => InjectorConfig::read(text).map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        let path = self.path.display();
        match read {
            Ok(config) => {
                self.current.store(Arc::new(config));
                self.metrics.reloads.inc();
                self.metrics.valid.set(1.0);
                tracing::info!("{path} was read anew; pods made from now on follow it");
            }
            Err(problem) => {
                self.metrics.valid.set(0.0);
                tracing::error!("{path}: {problem}; the last good configuration stays in force");
            }
        }
        *seen = found;
    }
}
