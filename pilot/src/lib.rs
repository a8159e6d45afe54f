//! Pilot: configuration in, xDS out. Objects are read and validated, become one immutable world, and
//! generators turn the world into what each data plane needs.

mod api;
mod build;
pub mod catalog;
pub mod diff;
mod gateway_route;
pub mod generate;
pub mod inject;
pub mod kubernetes;
pub mod model;
mod object;
mod pilot;
mod place;
mod problem;
mod source;
pub mod status;
mod validate;
pub mod webhook;
pub mod world;
mod yaml;

pub use pilot::{Pilot, PilotOptions, SourceOptions, StartError, Update};
