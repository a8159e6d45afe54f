//! What the control plane does in a Kubernetes cluster beside reading it.

pub mod status;
