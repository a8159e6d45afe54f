//! What the Gateway API says of a route to its author: for each parent the conditions that hold.

use std::fmt;
use std::sync::Arc;

/// One of a route's `parentRefs`, as it is written; what is absent is `None`, so that it can be copied verbatim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParentRef {
    /// API group; absent means the Gateway API's own.
    pub group: Option<Arc<str>>,
    /// Kind; absent means `Gateway`.
    pub kind: Option<Arc<str>>,
    /// Namespace; absent means the route's.
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
    /// Name of a port.
    pub section_name: Option<Arc<str>>,
    /// Number of a port.
    pub port: Option<u32>,
}

/// What became of a route at one parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentStatus {
    /// The parent.
    pub parent: ParentRef,
    /// The conditions; none at a parent that is not the mesh's business, such as a Gateway.
    pub conditions: Vec<RouteCondition>,
}

/// One condition, in the Gateway API's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteCondition {
    /// Which.
    pub kind: ConditionKind,
    /// Why it holds or does not.
    pub reason: Reason,
    /// The same for people; empty when it holds.
    pub message: String,
}

/// The conditions of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionKind {
    /// The parent takes the route.
    Accepted,
    /// Everything that the route names exists and may be named.
    ResolvedRefs,
}

/// Why a condition holds or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// `Accepted` holds.
    Accepted,
    /// `ResolvedRefs` holds.
    ResolvedRefs,
    /// There is no such parent, or no such port of it.
    NoMatchingParent,
    /// The route has a value that cannot be used.
    UnsupportedValue,
    /// It names a backend of a kind that is none.
    InvalidKind,
    /// A backend in another namespace, whose ReferenceGrants do not allow it.
    RefNotPermitted,
    /// There is no such backend, or no such port of it.
    BackendNotFound,
    /// Nobody has looked.
    Pending,
}

impl ParentRef {
    /// Whether it is a Service. Flagger writes the core group as `core`.
    pub fn is_service(&self) -> bool {
        matches!(self.group.as_deref(), Some("" | "core")) && self.kind.as_deref() == Some("Service")
    }
}

impl RouteCondition {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.status() == "True"
    }

    /// `True`, `False` or `Unknown`, as the API writes it.
    pub fn status(&self) -> &'static str {
        match self.reason {
            Reason::Accepted | Reason::ResolvedRefs => "True",
            Reason::Pending => "Unknown",
            _ => "False",
        }
    }
}

impl ConditionKind {
    /// The API's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
        }
    }
}

impl Reason {
    /// The API's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::NoMatchingParent => "NoMatchingParent",
            Self::UnsupportedValue => "UnsupportedValue",
            Self::InvalidKind => "InvalidKind",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::BackendNotFound => "BackendNotFound",
            Self::Pending => "Pending",
        }
    }
}

impl fmt::Display for ParentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_deref().unwrap_or("Gateway"))?;
        f.write_str(" ")?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        if let Some(section) = &self.section_name {
            write!(f, " section {section}")?;
        }
        self.port.map_or(Ok(()), |port| write!(f, " port {port}"))
    }
}

/// `Service catalog port 80: Accepted=True, ResolvedRefs=False (BackendNotFound: ...)`.
impl fmt::Display for ParentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.parent)?;
        if self.conditions.is_empty() {
            return f.write_str("ignored, the mesh serves parents of kind Service (group \"\") only");
        }
        for (index, condition) in self.conditions.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match condition.holds() {
                true => write!(f, "{comma}{:?}=True", condition.kind)?,
                false => {
                    let (kind, status, reason) = (condition.kind, condition.status(), condition.reason.as_str());
                    write!(f, "{comma}{kind:?}={status} ({reason}: {})", condition.message)?;
                }
            }
        }
        Ok(())
    }
}
