//! `meltemi proxy`: the sidecar, with its arguments turned into the proxy's options.

use crate::workload::WorkloadArgs;
use clap::{Args, ValueEnum};
use proxy::ProxyOptions;
use proxy::app_probes::Declared;
use proxy::options::{AccessLogTarget, WhenUnreachable};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use xds::node::{NodeInfo, ON_DEMAND, USER_AGENT};

/// Arguments of `meltemi proxy`.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    #[command(flatten)]
    workload: WorkloadArgs,
    /// Address of the capture sockets; `::` takes connections of both families, here and below.
    #[arg(long, default_value = "::")]
    capture_address: IpAddr,
    /// Port that outbound connections are redirected to.
    #[arg(long, default_value_t = 15001)]
    outbound_port: u16,
    /// Port that inbound connections are redirected to.
    #[arg(long, default_value_t = 15006)]
    inbound_port: u16,
    /// Administration; only loopback makes sense.
    #[arg(long, default_value = "127.0.0.1:15000")]
    admin: SocketAddr,
    /// Readiness.
    #[arg(long, default_value = "[::]:15021")]
    readiness: SocketAddr,
    /// Metrics in Prometheus' format; may be given several times.
    #[arg(long, default_values = ["[::]:15020", "[::]:15090"])]
    metrics: Vec<SocketAddr>,
    /// What the kubelet asks the application and asks here instead, below /app-health/ on the metrics' ports: JSON, as
    /// injection writes it.
    #[arg(long, env = "ISTIO_KUBE_APP_PROBERS", default_value = "", hide_default_value = true)]
    app_probers: String,
    /// Threads that carry traffic.
    #[arg(long, env = "ISTIO_PROXY_CONCURRENCY", default_value_t = 1)]
    concurrency: usize,
    /// How long a connection to an address not met before waits for the control plane.
    #[arg(long, default_value = "5s", value_parser = crate::duration::parse)]
    discovery_timeout: Duration,
    /// A destination unused for so long is forgotten.
    #[arg(long, default_value = "1h", value_parser = crate::duration::parse)]
    discovery_idle: Duration,
    /// What happens to a destination not met before while no control plane can be reached.
    #[arg(long, default_value = "refuse")]
    when_unreachable: Unreachable,
    /// How long a silent client is waited for on a port of unknown protocol before its upstream is asked.
    #[arg(long, default_value = "10ms", value_parser = crate::duration::parse)]
    detect_silence: Duration,
    /// After SIGTERM, serve at most so long.
    #[arg(long, env = "TERMINATION_DRAIN_DURATION", default_value = "5s", value_parser = crate::duration::parse)]
    drain: Duration,
    /// After SIGTERM, serve at least so long, if anybody ever called.
    #[arg(long, env = "MINIMUM_DRAIN_DURATION", default_value = "1s", value_parser = crate::duration::parse)]
    drain_at_least: Duration,
    /// Where the access log goes: `off`, `stdout` or a file.
    #[arg(long, default_value = "off")]
    access_log: String,
    /// How often metrics are sent to the hub.
    #[arg(long, default_value = "10s", value_parser = crate::duration::parse)]
    report_every: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Unreachable {
    Refuse,
    PassThrough,
}

/// Runs until SIGTERM and the drain that follows.
pub fn run(args: ProxyArgs) -> anyhow::Result<()> {
    args.workload.check()?;
    Ok(proxy::run(options(args)?)?)
}

fn options(args: ProxyArgs) -> anyhow::Result<ProxyOptions> {
    let workload = args.workload;
    let label = |names: &[&str]| {
        let find = |name: &&str| workload.labels.iter().find(|(label, _)| label == name);
        names.iter().find_map(find).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Ok(ProxyOptions {
        node: NodeInfo { features: [ON_DEMAND.to_owned()].into(), ..workload.node(USER_AGENT) },
        version: label(&["version", "app.kubernetes.io/version"]),
        app: label(&["app", "app.kubernetes.io/name"]),
        control_plane: workload.control_plane,
        control_plane_name: workload.control_plane_name,
        root_file: workload.root_cert,
        token_file: workload.token,
        trust_domain: workload.trust_domain,
        certificate_ttl: workload.certificate_ttl,
        capture_address: args.capture_address,
        outbound_port: args.outbound_port,
        inbound_port: args.inbound_port,
        admin: args.admin,
        readiness: args.readiness,
        metrics: args.metrics,
        app_probes: Declared::parse(&args.app_probers)?,
        mark: workload.mark,
        workers: args.concurrency,
        discovery_timeout: args.discovery_timeout,
        discovery_idle: args.discovery_idle,
        unreachable: match args.when_unreachable {
            Unreachable::Refuse => WhenUnreachable::Refuse,
            Unreachable::PassThrough => WhenUnreachable::PassThrough,
        },
        detect_silence: args.detect_silence,
        drain: args.drain,
        drain_at_least: args.drain_at_least,
        access_log: match args.access_log.as_str() {
            "off" => AccessLogTarget::Off,
            "stdout" | "/dev/stdout" => AccessLogTarget::Stdout,
            file => AccessLogTarget::File(PathBuf::from(file)),
        },
        report_every: args.report_every,
        #[cfg(debug_assertions)]
        allocations: Some(crate::allocations::count),
        #[cfg(not(debug_assertions))]
        allocations: None,
    })
}
