//! gRPC streams with small messages both ways. With `--seconds 600` it also shows that no stream is cut: a cut is a failure.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::service::Service;

const COST: &str = "gRPC streams, 4 connections × 8 streams, 64-byte messages";

pub const LOAD: Load = Load {
    name: "grpc-stream",
    about: "32 gRPC streams that stay open; on each, a message of 64 bytes goes out when the one before has come back",
    figures: &[Figure { name: COST, unit: "CPU µs/message", goal: Goal::Ratio(&[("envoy", 0.5)]) }],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let report = stage.load(Service::Grpc, "--kind grpc-stream --connections 4 --streams 8 --body 64")?;
    // There and back are two messages.
    sample.add_saturated(COST, &report, 2.0 * report.finished as f64);
    Ok(sample)
}
