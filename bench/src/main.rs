//! The benchmarks: our proxy beside others, under the same loads, each judged by the CPU time of both sidecars.
//! `bench run` is the harness; `bench load` and `bench serve` are what it starts inside the pods.

mod bed;
mod byhand;
mod head;
mod instructions;
mod limits;
mod loads;
mod machine;
mod papers;
mod peers;
mod report;
mod run;
mod serve;
mod service;
mod statistics;
mod table;
mod traffic;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "Measures sidecars: run as root, see docs/performance.md")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs loads through peers in turn and prints one table.
    Run(run::RunArgs),
    /// Counts our own instructions per request, to compare two versions of ours.
    Instructions(instructions::InstructionsArgs),
    /// The load in the client's pod; prints one line of JSON.
    Load(traffic::LoadArgs),
    /// The server in the server's pod.
    Serve,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => return run::in_sandbox(arguments),
        Command::Instructions(arguments) => return instructions::in_sandbox(arguments),
        Command::Load(arguments) => traffic::run(arguments),
        Command::Serve => serve::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
