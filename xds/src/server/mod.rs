//! The delta ADS server: a [`Catalog`] says what exists, [`AdsServer`] tells each client what it asked for.

mod service;
mod stream;
mod type_state;

#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc};

use tokio::sync::broadcast;

use crate::{Resource, ResourceType, node::NodeInfo};

pub use service::AdsServer;
pub(crate) use service::drive;
pub(crate) use stream::StreamState;
pub(crate) use type_state::{UNCERTAIN, WILDCARD};

/// What a control plane has to tell, and what it learns. Called from many streams at once; the calls must not block.
pub trait Catalog: Send + Sync + 'static {
    /// What the control plane keeps of one connected client.
    type Client: Send + Sync + 'static;

    /// Decides whether a client is served. `node` is what it says, `peer` the SPIFFE URI that its certificate proves.
    fn admit(&self, node: &NodeInfo, peer: Option<&str>) -> Result<Arc<Self::Client>, Refusal>;

    /// The names that `*` stands for.
    fn wildcard(&self, client: &Self::Client, kind: ResourceType) -> Vec<Arc<str>>;

    /// One resource as this client sees it; `None` if it does not exist for the client.
    fn resource(&self, client: &Self::Client, kind: ResourceType, name: &str) -> Option<Arc<Resource>>;

    /// The changes from now on. A receiver that lags behind is treated as if everything had changed.
    fn changes(&self) -> broadcast::Receiver<Arc<Change>>;

    /// The client reconnected and says that it holds these. Comes before [`Self::wildcard`] is asked, so that a
    /// control plane that has just started learns what its clients need.
    fn held(&self, _client: &Self::Client, _kind: ResourceType, _names: &[Arc<str>]) {}

    /// The client subscribed to names, or gave them up. `*` is not among them.
    fn subscribed(&self, client: &Self::Client, kind: ResourceType, added: &[Arc<str>], removed: &[Arc<str>]);

    /// The client took these resources, or was found to hold the current version when it reconnected.
    fn acknowledged(&self, client: &Self::Client, kind: ResourceType, names: &[Arc<str>]);

    /// The client refused these resources and keeps what it had of them.
    fn rejected(&self, client: &Self::Client, kind: ResourceType, names: &[Arc<str>], error: &str);

    /// The client has answered all that it was sent because of this change and those before it. What it asks for because of
    /// an answer comes after.
    fn settled(&self, _client: &Self::Client, _change: u64) {}

    /// The stream ended. Comes once for each [`Self::admit`] that succeeded.
    fn disconnected(&self, client: &Self::Client);
}

/// What a change of the catalog may have changed. Too much is harmless: versions are compared before anything is sent.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The resources that may have another content, or come or go.
    pub touched: HashSet<(ResourceType, Arc<str>)>,
    /// Any resource may have changed.
    pub everything: bool,
    /// What `*` stands for may have changed for some client.
    pub wildcard: bool,
    /// Counts the catalog's changes, from 1; 0 where nobody asks how far they have got ([`Catalog::settled`]).
    pub number: u64,
}

/// Why a client is not served; the text reaches its operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not who it says it is, or may not ask: gRPC's PERMISSION_DENIED.
    #[error("{0}")]
    PermissionDenied(String),
    /// It does not say who it is in a way that can be used: gRPC's INVALID_ARGUMENT.
    #[error("{0}")]
    InvalidArgument(String),
}
