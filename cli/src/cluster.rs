//! The cluster that a command works on: which one, a client for it, and what its refusals mean to a person.

use anyhow::Context;
use clap::Args;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that one request to the API server may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Objects asked for at once.
const PAGE: u32 = 500;

/// Which cluster.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// File with the cluster's address and credentials; without it $KUBECONFIG, else ~/.kube/config, else the pod's own.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// Context of that file; without it the current one.
    #[arg(long, global = true)]
    context: Option<String>,
}

impl ClusterArgs {
    /// A client. Nothing is sent yet.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match (&self.kubeconfig, &self.context) {
            (Some(file), _) => {
                let read = Kubeconfig::read_from(file).with_context(|| format!("--kubeconfig {}", file.display()))?;
                Config::from_custom_kubeconfig(read, &options).await?
            }
            (None, Some(context)) => {
                Config::from_kubeconfig(&options).await.with_context(|| format!("--context {context}"))?
            }
            (None, None) => Config::infer()
                .await
                .context("no cluster is configured: set KUBECONFIG, give --kubeconfig FILE, or make ~/.kube/config")?,
        };
        config.connect_timeout = Some(DEADLINE);
        config.read_timeout = Some(DEADLINE);
        config.write_timeout = Some(DEADLINE);
        Ok(Client::try_from(config)?)
    }

    /// The same choice, as Helm takes it.
    pub fn helm_flags(&self) -> Vec<String> {
        let file = self.kubeconfig.iter().flat_map(|file| ["--kubeconfig".to_owned(), file.display().to_string()]);
        let context = self.context.iter().flat_map(|context| ["--kube-context".to_owned(), context.clone()]);
        file.chain(context).collect()
    }
}

/// Says what the API server refused, or why it cannot be reached.
pub fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the API server says: {}", status.message),
        other => {
            let mut text = format!("the API server cannot be reached: {other}");
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                // Wrappers often repeat what they wrap.
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}

/// What failed, with what the API server said of it.
pub trait Told<T> {
    /// Adds what was being done.
    fn doing(self, what: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T> Told<T> for Result<T, kube::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::anyhow!("{}: {}", what(), told(&error)))
    }
}

/// Whether the API server says that this does not exist.
pub fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Reads all objects page by page, of each only what `take` makes of it.
pub async fn list<K, T>(
    api: Api<K>,
    parameters: ListParams,
    mut take: impl FnMut(K) -> T,
) -> Result<Vec<T>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut taken = Vec::new();
    let mut parameters = parameters.limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        taken.extend(page.items.into_iter().map(&mut take));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(taken),
        }
    }
}
