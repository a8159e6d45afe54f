//! How soon a new proxy serves, and how large its program is.

use super::{Figure, Goal, Load, Sample, Stage};

const START: &str = "start to first proxied request";
const SIZE: &str = "program";

pub const LOAD: Load = Load {
    name: "start",
    about: "from the start of the client's proxy (of the agent, for Envoy) to the first answer through it, with the control \
            plane and everything else running; the program as it is installed",
    figures: &[
        Figure { name: START, unit: "ms", goal: Goal::AtMost(50.0) },
        Figure { name: SIZE, unit: "MB", goal: Goal::AtMost(25.0) },
    ],
    run,
};

fn run(stage: &Stage<'_>) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    sample.add(START, stage.bed.time_start()?.as_secs_f64() * 1e3);
    sample.add(SIZE, std::fs::metadata(&stage.bed.program)?.len() as f64 / 1e6);
    Ok(sample)
}
