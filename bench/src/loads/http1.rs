//! HTTP/1.1 over kept connections, 1 KiB up and down: as fast as answers come, and at a fixed rate.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const GOAL: Goal = Goal::Ratio(&[("envoy", 0.35), ("haproxy", 1.2)]);
const SATURATED: &str = "HTTP/1.1, 64 connections, 1 KiB, saturated";
const FIXED: &str = "HTTP/1.1, 64 connections, 1 KiB, 2,000/s";
const RATE: &str = "HTTP/1.1, 64 connections, 1 KiB, requests";

pub const LOAD: Load = Load {
    name: "http1",
    about: "POSTs with 1 KiB up and down over 64 kept connections",
    figures: &[
        Figure { name: SATURATED, unit: "CPU µs/request", goal: GOAL },
        Figure { name: FIXED, unit: "CPU µs/request", goal: GOAL },
        Figure { name: RATE, unit: "1/s", goal: Goal::None },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let saturated = stage.load(Service::Http1, "--kind http1 --connections 64")?;
    sample.add_saturated(SATURATED, &saturated, saturated.finished as f64);
    sample.add(RATE, saturated.finished as f64 / saturated.seconds);
    let fixed = stage.load(Service::Http1, "--kind http1 --connections 64 --rate 2000")?;
    sample.add_cpu(FIXED, &fixed, fixed.finished as f64);
    Ok(sample)
}
