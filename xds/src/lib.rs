//! The contract between a control plane and a data plane: Envoy's v3 types, the resources that travel, delta xDS on
//! both sides (`server`, `client`), and keys for foreign data planes (`sds`).

mod canonical;
mod duration;
mod envoy;
#[cfg(test)]
mod fake_catalog;
mod log_limit;
mod pack;
mod refusal;
mod resource;
mod struct_value;

pub mod client;
pub mod node;
pub mod sds;
pub mod server;
pub mod workload;

pub use duration::{DurationError, from_duration, to_duration};
pub use envoy::*;
pub use pack::{UnpackError, pack, unpack};
pub use prost::{Message, Name, bytes::Bytes};
pub use resource::{Resource, ResourceType};
pub use struct_value::{number_value, string_field, string_value, struct_field, struct_of, struct_value};
