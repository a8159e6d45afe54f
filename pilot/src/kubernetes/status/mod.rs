//! Writes what became of each object into the object's own `status`, where its author looks. One replica writes: the
//! leader.
//!
//! Routes of the Gateway API get entries in `status.parents`, objects of Istio's kinds a condition `Ready`. Nothing is
//! written to Kubernetes' own kinds, nor to those of Istio that only an Istio beside us may serve (Gateway, EnvoyFilter and the
//! like): what is worth knowing of them stands in `/debug/status` and in the log.

mod agenda;
mod api_server;
mod condition;
mod conditions;
mod distributed;
mod pace;
mod parents;
mod run;
#[cfg(test)]
mod tests;
mod wanted;
mod wording;
mod write;
mod writer;
mod written_kinds;

pub use run::keep_statuses;
