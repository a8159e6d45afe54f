//! gRPC calls, 1 KiB up and down: as fast as answers come, and at a fixed rate.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const GOAL: Goal = Goal::Ratio(&[("envoy", 0.4)]);
const SATURATED: &str = "gRPC unary, 8 connections × 8 streams, 1 KiB, saturated";
const FIXED: &str = "gRPC unary, 8 connections × 8 streams, 1 KiB, 2,000/s";

pub const LOAD: Load = Load {
    name: "grpc",
    about: "gRPC calls with one message of 1 KiB each way, 8 at a time on each of 8 connections",
    figures: &[
        Figure { name: SATURATED, unit: "CPU µs/call", goal: GOAL },
        Figure { name: FIXED, unit: "CPU µs/call", goal: GOAL },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let saturated = stage.load(Service::Grpc, "--kind grpc --connections 8 --streams 8")?;
    sample.add_saturated(SATURATED, &saturated, saturated.finished as f64);
    let fixed = stage.load(Service::Grpc, "--kind grpc --connections 8 --streams 8 --rate 2000")?;
    sample.add_cpu(FIXED, &fixed, fixed.finished as f64);
    Ok(sample)
}
