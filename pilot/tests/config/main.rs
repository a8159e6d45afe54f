//! From files to the world, as an operator and the data plane see it: what is in force, what is reported and
//! where, and what a change touches.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod endpoints;
mod fixture;
mod gateway_errors;
mod gateway_routes;
mod kubernetes_errors;
mod last_good;
mod precedence;
mod reload;
mod route_errors;
mod scale;
mod status;
mod traffic_errors;
mod virtual_service;
mod workloads;
