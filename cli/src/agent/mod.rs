//! `meltemi agent`: runs a foreign data plane as a sidecar. It gets the workload's identity, serves it over SDS on a Unix
//! socket, writes Envoy's bootstrap, starts Envoy and passes signals on. It restarts nothing: when Envoy ends, so does it.

mod bootstrap;
mod child;
mod drain;
mod secrets;

use crate::workload::WorkloadArgs;
use anyhow::{Context, anyhow};
use citadel::Identity;
use citadel::client::ClientOptions;
use citadel::spiffe::TrustDomain;
use citadel::tls::Roots;
use clap::Args;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Envoy's administration, where its drain is asked for.
const ADMIN: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 15000);

/// Arguments of `meltemi agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Folder for the bootstrap and the SDS socket; made when missing.
    #[arg(long, default_value = "/etc/istio/proxy")]
    work_dir: PathBuf,
    /// After SIGTERM, let connections finish for so long.
    #[arg(long, env = "TERMINATION_DRAIN_DURATION", default_value = "5s", value_parser = crate::duration::parse)]
    drain: Duration,
    /// Envoy's worker threads.
    #[arg(long, env = "ISTIO_PROXY_CONCURRENCY", default_value_t = 1)]
    concurrency: u32,
    /// Envoy's log level.
    #[arg(long, default_value = "warning")]
    proxy_log_level: String,
    /// Envoy, after `--`, with further arguments for it.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs until Envoy ends; its exit code is ours.
pub fn run(args: AgentArgs) -> anyhow::Result<ExitCode> {
    args.workload.check()?;
    fs::create_dir_all(&args.work_dir).with_context(|| format!("folder {}", args.work_dir.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(args))
}

async fn supervise(args: AgentArgs) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let identity = start_identity(&args.workload)?;
    tokio::select! {
        _ = identity.ready() => {}
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    }
    let socket = args.work_dir.join("sds.sock");
    let source = Arc::new(secrets::Secrets(identity));
    let serving = socket.clone();
    let sds = tokio::spawn(async move { xds::sds::serve_sds(&serving, source, std::future::pending()).await });
    let (child, ended) = child::start(envoy(&args, &socket)?)?;
    tokio::pin!(ended);
    tokio::select! {
        status = &mut ended => return Ok(child::exit_code(status)),
        served = sds => return Err(anyhow!("SDS on {} ended: {served:?}", socket.display())),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        status = &mut ended => return Ok(child::exit_code(status)),
        () = drain::drain(ADMIN.into(), args.drain) => {}
    }
    Ok(child::exit_code(child.stop(ended).await))
}

/// Fetches and renews the certificate in the background.
fn start_identity(workload: &WorkloadArgs) -> anyhow::Result<Identity> {
    let trust_domain: TrustDomain = workload.trust_domain.parse()?;
    let options = ClientOptions {
        address: workload.control_plane.clone(),
        server_name: workload.control_plane_name.clone(),
        roots: Roots::File(workload.root_cert.clone()),
        token_path: Some(workload.token.clone()),
        ttl: workload.certificate_ttl,
        expected: Some(trust_domain.workload(&workload.namespace, &workload.service_account)?),
        mark: workload.mark,
    };
    let identity = Identity::empty();
    let renewed = identity.clone();
    tokio::spawn(async move { citadel::client::run(options, renewed, &record::Metrics::new()).await });
    Ok(identity)
}

/// The command that runs Envoy, its bootstrap written.
fn envoy(args: &AgentArgs, socket: &Path) -> anyhow::Result<Command> {
    let file = args.work_dir.join("bootstrap.json");
    let bootstrap = bootstrap::envoy(&args.workload, socket)?;
    let text = serde_json::to_string_pretty(&bootstrap)?;
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    let (program, rest) = args.command.split_first().context("the data plane's program is missing after `--`")?;
    let mut command = Command::new(program);
    command.arg("--config-path").arg(file);
    command.args(["--concurrency", &args.concurrency.to_string(), "--log-level", &args.proxy_log_level]);
    command.args(["--drain-time-s", &args.drain.as_secs().max(1).to_string(), "--drain-strategy", "immediate"]);
    // Hot restart shares memory by number with other Envoys of the machine, and is not used here.
    command.arg("--disable-hot-restart").args(rest);
    Ok(command)
}
