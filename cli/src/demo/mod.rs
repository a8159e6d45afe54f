//! `meltemi demo`: a whole mesh on this machine, in a sandbox that leaves nothing behind, with a live table of what happens.

mod gateway;
mod inside;
mod sample;
mod screen;
mod status;
mod table;

use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Ports wanted on the host's loopback: the control plane's HTTP port and the debug gateway's.
const PORTS: [u16; 2] = [15014, 15080];

/// Arguments of `meltemi demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Directory with the objects to run; without it the sample shop.
    #[arg(long)]
    config_dir: Option<PathBuf>,
    /// End after this time, with the table of all of it.
    #[arg(long = "for", value_name = "DURATION", value_parser = crate::duration::parse)]
    duration: Option<Duration>,
    /// What to print: a live table, or one JSON object at the end (with --for).
    #[arg(long, default_value = "table", requires_if("json", "duration"))]
    output: Output,
}

/// What the demo prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table that is drawn again every second.
    Table,
    /// One JSON object at the end.
    Json,
}

/// Runs the demo until Ctrl-C or the end of `--for`.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    Ok(lab::sandbox::run(&PORTS, |sandbox| inside::run(args, &sandbox))?)
}
