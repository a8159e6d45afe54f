//! Resident memory of the client's proxy, each time in a new process.

use super::{Figure, Goal, Load, Sample, Stage};
use crate::peers::Side;
use crate::service::Service;
use anyhow::Context;
use lab::Memory;
use std::time::Duration;

const HELD: f64 = 1000.0;
const IDLE: &str = "memory, idle after start";
const EACH: &str = "memory for each of 1,000 idle client connections";
const SATURATED: &str = "memory, HTTP/1.1 with 64 connections, saturated";

pub const LOAD: Load = Load {
    name: "memory",
    about: "resident memory of the client's proxy; idle connections have each made one request",
    figures: &[
        Figure { name: IDLE, unit: "MB", goal: Goal::AtMost(10.0) },
        Figure { name: EACH, unit: "kB", goal: Goal::AtMost(20.0) },
        Figure { name: SATURATED, unit: "MB", goal: Goal::Ratio(&[("envoy", 0.4)]) },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    stage.bed.restart(Side::Client)?;
    // For what is freed a moment after the start.
    std::thread::sleep(Duration::from_secs_f64(stage.seconds.min(2.0)));
    sample.add(IDLE, Memory::of(stage.bed.pid(Side::Client)?)?.rss as f64 / 1e6);
    stage.bed.wait_for_first_answer()?;
    let held = stage.load(Service::Http1, &format!("--kind hold --connections {HELD}"))?;
    sample.count_failures(&held);
    let client = |figures: &[u64]| figures.first().map(|bytes| *bytes as f64).context("no memory figure");
    sample.add(EACH, (client(&held.used.rss)? - client(&held.rss_before)?) / 1e3 / HELD);
    stage.bed.restart(Side::Client)?;
    stage.bed.wait_for_first_answer()?;
    let saturated = stage.load(Service::Http1, "--kind http1 --connections 64")?;
    sample.count_failures(&saturated);
    sample.add(SATURATED, client(&saturated.used.rss)? / 1e6);
    Ok(sample)
}
