//! A connection between the proxies for each exchange: a TCP service, where each client connection makes one of its own.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const COST: &str = "a new mTLS connection between the proxies";

pub const LOAD: Load = Load {
    name: "handshake",
    about: "TCP connections, 16 at a time, each with 64 bytes there and back through a new mTLS connection between the \
            proxies: a full handshake, no peer may resume",
    figures: &[Figure { name: COST, unit: "CPU µs/connection", goal: Goal::Ratio(&[("envoy", 0.7)]) }],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let report = stage.load(Service::Tcp, "--kind connect --connections 16 --body 64")?;
    sample.add_saturated(COST, &report, report.finished as f64);
    Ok(sample)
}
