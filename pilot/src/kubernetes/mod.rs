//! What the control plane does in a Kubernetes cluster beside reading it.

mod bundle;
mod due;
pub mod leader;
mod lease;
mod listed;
pub mod roots;
pub mod status;
pub mod webhook_bundle;
