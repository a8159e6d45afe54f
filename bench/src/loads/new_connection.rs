//! A client connection for each request; the connections between the proxies are kept.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const COST: &str = "a new client connection per request";

pub const LOAD: Load = Load {
    name: "new-connection",
    about: "POSTs with 1 KiB up and down and `Connection: close`, 32 at a time",
    figures: &[Figure { name: COST, unit: "CPU µs/request", goal: Goal::Ratio(&[("envoy", 0.6)]) }],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let report = stage.load(Service::Http1, "--kind fresh --connections 32")?;
    sample.add_saturated(COST, &report, report.finished as f64);
    Ok(sample)
}
