//! The lab: pods as network namespaces on one machine, with real redirect rules, sidecars and applications.
//! It is shared by the demo, the end-to-end tests and the benchmarks. A program enters a [`sandbox`] first and then
//! starts a [`Lab`] there; when the sandbox ends, the kernel takes everything away with it.

mod affinity;
pub mod capture;
mod control_plane;
mod cpu;
mod credentials;
mod error;
mod fabric;
pub mod http;
mod lab;
mod load;
mod manifest;
mod memory;
mod namespaces;
mod pod;
mod process;
mod redirect;
pub mod sandbox;
pub mod shop;
mod sidecar;
pub mod tools;

pub use affinity::pin;
pub use control_plane::ControlPlane;
pub use cpu::{CpuTime, CpuUse};
pub use error::LabError;
pub use lab::{Lab, LabOptions};
pub use load::{Load, Summary};
pub use manifest::{Manifests, PodSpec};
pub use memory::Memory;
pub use namespaces::{Bind, Namespaces};
pub use pod::Pod;
pub use process::Process;
pub use sidecar::SidecarKind;
