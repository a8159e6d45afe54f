//! Large bodies both ways.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const COST: &str = "HTTP/1.1, 8 connections, 1 MiB up and down";
const BANDWIDTH: &str = "HTTP/1.1, 8 connections, 1 MiB up and down, bandwidth";

pub const LOAD: Load = Load {
    name: "mib",
    about: "HTTP/1.1 POSTs with 1 MiB up, then 1 MiB down, over 8 kept connections",
    figures: &[
        Figure { name: COST, unit: "CPU µs/request", goal: Goal::Ratio(&[("envoy", 0.8)]) },
        Figure { name: BANDWIDTH, unit: "MB/s", goal: Goal::AtLeast(&[("envoy", 1.0)]) },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let report = stage.load(Service::Http1, "--kind http1 --connections 8 --body 1048576")?;
    sample.add_saturated(COST, &report, report.finished as f64);
    sample.add(BANDWIDTH, report.bytes as f64 / 1e6 / report.seconds);
    Ok(sample)
}
