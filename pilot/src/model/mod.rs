//! The building blocks of the world: what services, routes, policies and workloads mean, whatever
//! source they came from. Everything in here is validated and every name in it is resolved.

mod authentication;
mod destination_rule;
mod endpoint;
mod export;
mod gateway_api;
mod host;
mod http_match;
mod http_policy;
mod http_rule;
mod labels;
mod object;
mod port;
mod service;
mod virtual_service;
mod workload;

pub use authentication::{MtlsMode, PeerAuthentications, WorkloadMtls};
pub use destination_rule::{
    ClientTls, ConnectionPool, DestinationRule, LoadBalancer, PolicyLevel, Subset, TlsMode, TrafficPolicy,
};
pub use endpoint::{Endpoint, EndpointAddress, EndpointPort, EndpointState};
pub use export::ExportTo;
pub use gateway_api::{ConditionKind, ParentRef, ParentStatus, Reason, RouteCondition};
pub use host::{Host, HostError};
pub use http_match::{HttpMatch, StringMatch};
pub use http_policy::{
    Abort, AbortStatus, Cors, Delay, Fault, HeaderEdits, HeaderOperations, Mirror, Percentage, Retries, Rewrite,
    UriRewrite,
};
pub use http_rule::{
    Action, Destination, DirectResponse, HttpRule, Redirect, RedirectPath, RedirectPort, WeightedDestination,
};
pub use labels::Labels;
pub use object::ObjectRef;
pub use port::{Port, Protocol, TargetPort};
pub use service::{Location, Resolution, Service, ServiceKind};
pub use virtual_service::{L4Match, TcpRule, TlsRule, VirtualService};
pub use workload::{InboundPort, Locality, ServicePort, Workload, WorkloadInfo};
