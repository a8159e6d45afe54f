//! `meltemi control-plane`: Pilot, Citadel and the telemetry hub in one process. One TLS port serves xDS, the CA and
//! OTLP; one HTTP port, on loopback, what people ask, and another what monitoring asks.

mod args;
mod directory;
mod kubernetes;
mod pages;
mod serve;

pub use args::ControlPlaneArgs;
use proxy::descriptors::Descriptors;

/// Runs until SIGTERM or SIGINT.
pub fn run(args: ControlPlaneArgs) -> anyhow::Result<()> {
    // Each sidecar is a connection, and containers are often given few open files unless they ask.
    Descriptors::raise();
    let ControlPlaneArgs { shared, directory, kubernetes } = args;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match kubernetes.kubernetes {
        true => runtime.block_on(kubernetes::run(shared, kubernetes)),
        false => runtime.block_on(directory::run(shared, directory)),
    }
}
