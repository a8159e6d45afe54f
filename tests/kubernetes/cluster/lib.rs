//! A Kubernetes cluster of one node for tests and for people: the real programs, each cluster in namespaces, control groups
//! and a folder of its own. What runs in it is an ordinary pod of containerd; nothing stands in for anything.
//!
//! [`run`] enters a sandbox first: the network, the processes and the mounts of all clusters go with it, however it ends.

mod addresses;
mod cluster;
mod component;
mod containerd;
mod containers;
mod control_group;
mod control_plane;
mod dns;
mod error;
mod image;
mod install;
mod kube_proxy;
mod kubeconfig;
mod kubectl;
mod kubelet;
mod node;
mod papers;
mod pki;
mod programs;
mod sandbox;
mod site;
mod start;

pub use addresses::Addresses;
pub use cluster::Cluster;
pub use component::Component;
pub use error::ClusterError;
pub use image::{ECHO_IMAGE, echo};
pub use kubeconfig::Kubeconfig;
pub use programs::Programs;
pub use sandbox::run;
pub use site::{Options, ProxyMode};
