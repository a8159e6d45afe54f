//! `meltemi`: one program for every part of the mesh. Each command is a file of its own.

mod agent;
#[cfg(debug_assertions)]
mod allocations;
mod check;
mod cluster;
mod control_plane;
mod demo;
mod duration;
mod helm;
mod init;
mod inject;
mod install;
mod logging;
mod loopback;
mod names;
mod pod_trouble;
mod proxy;
mod shop;
mod token;
mod uninstall;
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
    /// Install Meltemi on a Kubernetes cluster, and prove it.
    Install(install::InstallArgs),
    /// Remove Meltemi from a Kubernetes cluster.
    Uninstall(uninstall::UninstallArgs),
    /// Tell whether all is well with Meltemi on a Kubernetes cluster.
    Check(check::CheckArgs),
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

/// Runs the command that the process was started with. Errors go to standard error.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.log_format);
    let outcome = match arguments.command {
        Command::Demo(args) => demo::run(&args),
        Command::Install(args) => install::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Uninstall(args) => uninstall::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(&args),
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
