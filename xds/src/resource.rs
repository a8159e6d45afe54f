//! What travels: the kinds of resource, and one resource with its name, version and bytes.

use std::{fmt, sync::Arc};

use prost::{Message, Name};

use crate::{canonical, google::Any};

/// The kinds of resource that a control plane hands to a data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster` (CDS).
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `envoy.config.listener.v3.Listener` (LDS).
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration` (RDS).
    Route,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret` (SDS).
    Secret,
    /// `istio.workload.Address`: who an address is.
    Address,
}

impl ResourceType {
    /// All kinds, in the order in which one change is sent: make before break
    /// (envoyproxy.io, xDS protocol, "Eventual consistency considerations").
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Endpoint, Self::Listener, Self::Route, Self::Secret, Self::Address];

    /// The type URL under which the kind is asked for and sent.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Address => "type.googleapis.com/istio.workload.Address",
        }
    }

    /// The kind that a type URL names; `None` for kinds that Meltemi does not speak.
    pub fn from_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// The kind's place in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The short name that operators know: `CDS`, `EDS`, `LDS`, `RDS`, `SDS`, `Address`.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Endpoint => "EDS",
            Self::Listener => "LDS",
            Self::Route => "RDS",
            Self::Secret => "SDS",
            Self::Address => "Address",
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

/// One resource, encoded once and shared by every client that gets it.
#[derive(Clone, PartialEq)]
pub struct Resource {
    /// Unique within its kind.
    pub name: Arc<str>,
    /// A 64-bit hash of the content in hex: equal content has an equal version, in every process that encodes it so.
    pub version: Arc<str>,
    /// The message as it travels.
    pub any: Any,
}

impl Resource {
    /// Encodes a message. `kind` decides the type URL. Messages inside of an `Any` should come from [`crate::pack`],
    /// so that equal content has equal bytes all the way down.
    pub fn new<M>(kind: ResourceType, name: impl Into<Arc<str>>, message: &M) -> Self
    where
        M: Message + Name + Default + PartialEq,
    {
        debug_assert!(kind.type_url().ends_with(&M::full_name()), "{} is no {kind}", M::full_name());
        let value = canonical::encode(message);
        let version = format!("{:016x}", content_hash(&value)).into();
        Self { name: name.into(), version, any: Any { type_url: kind.type_url().to_owned(), value } }
    }
}

/// Without the content: it may hold a key.
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {} ({} bytes)", self.name, self.version, self.any.value.len())
    }
}

/// FNV-1a, 64 bits: the same in every build and every process, which a held version must be.
fn content_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;

    #[test]
    fn type_urls_lead_back_to_their_kind() {
        for kind in ResourceType::ALL {
            assert_eq!(ResourceType::from_type_url(kind.type_url()), Some(kind));
            assert_eq!(ResourceType::ALL[kind.index()], kind);
        }
        assert_eq!(ResourceType::from_type_url("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"), None);
    }

    #[test]
    fn equal_content_has_an_equal_version_and_other_content_another() {
        let resource = |name: &str| {
            let cluster = Cluster { name: name.into(), ..Cluster::default() };
            Resource::new(ResourceType::Cluster, name, &cluster)
        };
        assert_eq!(resource("a"), resource("a"));
        assert_ne!(resource("a").version, resource("b").version);
        assert_eq!(resource("a").version.len(), 16);
        assert_eq!(resource("a").any.type_url, ResourceType::Cluster.type_url());
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // Test vectors of draft-eastlake-fnv.
        assert_eq!(content_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(content_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(content_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
