//! `meltemi`: one binary for every part of the mesh. Each command is a file of its own.

mod agent;
#[cfg(debug_assertions)]
mod allocations;
mod control_plane;
mod demo;
mod duration;
mod init;
mod inject;
mod logging;
mod proxy;
mod shop;
mod token;
mod workload;

use clap::{Parser, Subcommand};
use logging::LogFormat;
use std::process::ExitCode;

#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(debug_assertions)]
#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// A service mesh of small sidecars.
#[derive(Debug, Parser)]
#[command(name = "meltemi", version)]
struct Arguments {
    /// How log lines are written to standard error; RUST_LOG says which.
    #[arg(long, global = true, default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole mesh with a sample shop on this machine.
    Demo(demo::DemoArgs),
    /// Run the control plane: configuration, certificates, telemetry.
    ControlPlane(control_plane::ControlPlaneArgs),
    /// Run the sidecar proxy of a workload.
    #[command(args_override_self = true)]
    Proxy(proxy::ProxyArgs),
    /// Run another data plane, such as Envoy, as the sidecar of a workload.
    #[command(args_override_self = true)]
    Agent(agent::AgentArgs),
    /// Set the redirect rules of a pod.
    Init(init::InitArgs),
    /// Give the pods of a YAML file their sidecar.
    Inject(inject::InjectArgs),
    /// Issue a token that proves a service account to the CA.
    Token(token::TokenArgs),
    /// Run an application of the sample shop.
    Shop(shop::ShopArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.log_format);
    let outcome = match arguments.command {
        Command::Demo(args) => demo::run(&args),
        Command::ControlPlane(args) => control_plane::run(args).map(|()| ExitCode::SUCCESS),
        Command::Proxy(args) => proxy::run(args).map(|()| ExitCode::SUCCESS),
        Command::Agent(args) => agent::run(args),
        Command::Init(args) => init::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Inject(args) => inject::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Token(args) => token::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Shop(args) => shop::run(args).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("meltemi: {error:#}");
        ExitCode::FAILURE
    })
}
