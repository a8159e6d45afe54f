//! HTTP/2 from client to server, 1 KiB up and down: as fast as answers come, and at a fixed rate.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const GOAL: Goal = Goal::Ratio(&[("envoy", 0.4)]);
const SATURATED: &str = "HTTP/2, 8 connections × 8 streams, 1 KiB, saturated";
const FIXED: &str = "HTTP/2, 8 connections × 8 streams, 1 KiB, 2,000/s";

pub const LOAD: Load = Load {
    name: "http2",
    about: "HTTP/2 POSTs with 1 KiB up and down, 8 at a time on each of 8 connections",
    figures: &[
        Figure { name: SATURATED, unit: "CPU µs/request", goal: GOAL },
        Figure { name: FIXED, unit: "CPU µs/request", goal: GOAL },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let saturated = stage.load(Service::Http2, "--kind http2 --connections 8 --streams 8")?;
    sample.add_saturated(SATURATED, &saturated, saturated.finished as f64);
    let fixed = stage.load(Service::Http2, "--kind http2 --connections 8 --streams 8 --rate 2000")?;
    sample.add_cpu(FIXED, &fixed, fixed.finished as f64);
    Ok(sample)
}
