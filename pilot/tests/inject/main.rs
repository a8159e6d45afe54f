//! Injection as the authors of pods see it: who gets a sidecar, what it is told, what is refused, and with which words.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod annotations;
mod any_pod;
mod config;
mod decision;
mod files;
mod fixture;
mod pods;
mod probes;
mod refusals;
