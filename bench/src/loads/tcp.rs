//! TCP of which the proxies know nothing, through mTLS, as many bytes as go through.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const COST: &str = "TCP, 4 connections, bulk both ways";
const BANDWIDTH: &str = "TCP, 4 connections, bulk both ways, bandwidth";
const BEST: Goal = Goal::AtLeast(&[("envoy", 0.9), ("haproxy", 0.9), ("nginx", 0.9)]);

pub const LOAD: Load = Load {
    name: "tcp",
    about: "4 connections on which the client sends as fast as it can and gets everything back; both directions count",
    figures: &[
        Figure { name: COST, unit: "CPU ms/GB", goal: Goal::Ratio(&[("envoy", 0.8)]) },
        Figure { name: BANDWIDTH, unit: "Gbit/s", goal: BEST },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let report = stage.load(Service::Tcp, "--kind bulk --connections 4")?;
    // Microseconds for each MB are milliseconds for each GB.
    sample.add_saturated(COST, &report, report.bytes as f64 / 1e6);
    sample.add(BANDWIDTH, report.bytes as f64 * 8.0 / 1e9 / report.seconds);
    Ok(sample)
}
