//! Latency far from saturation, from the planned time of sending: a stall counts for every request that it holds up.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const GOAL: Goal = Goal::Ratio(&[("envoy", 0.6)]);
const P50: &str = "p50 at 1,000/s over 16 connections";
const P99: &str = "p99 at 1,000/s over 16 connections";
const MAX: &str = "slowest at 1,000/s over 16 connections";
const CPU: &str = "HTTP/1.1, 16 connections, 1 KiB, 1,000/s";

pub const LOAD: Load = Load {
    name: "latency",
    about: "1,000 HTTP/1.1 POSTs a second with 1 KiB up and down over 16 kept connections, sent when due; the direct way \
            from client to server is part of the figure",
    figures: &[
        Figure { name: P50, unit: "µs", goal: GOAL },
        Figure { name: P99, unit: "µs", goal: GOAL },
        Figure { name: MAX, unit: "µs", goal: Goal::None },
        Figure { name: CPU, unit: "CPU µs/request", goal: Goal::None },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let report = stage.load(Service::Http1, "--kind http1 --connections 16 --rate 1000")?;
    let latency = report.latency.clone().unwrap_or_default();
    for (figure, value) in [(P50, latency.p50), (P99, latency.p99), (MAX, latency.max)] {
        sample.add(figure, value);
    }
    sample.add_cpu(CPU, &report, report.finished as f64);
    Ok(sample)
}
