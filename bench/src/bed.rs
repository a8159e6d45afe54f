//! A test bed: one lab with client, server and the two instances of one peer, kept while other peers have their turn.

use crate::byhand::{ByHand, pod};
use crate::peers::{Peer, Programs, Side, Way};
use crate::service::Service;
use crate::traffic::Report;
use anyhow::{Context, bail};
use lab::{Lab, LabOptions, Pod, Process, SidecarKind};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MESH: &str = include_str!("../mesh.yaml");
/// How long the first request may take from the start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which CPU runs what.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    /// Both proxies.
    pub proxies: usize,
    /// Load, server and control plane.
    pub rest: usize,
}

/// One peer, set up and running.
pub struct Bed {
    /// Who.
    pub peer: &'static Peer,
    /// Its program.
    pub program: PathBuf,
    proxies: Proxies,
    // Fields drop in this order: the server before the network that it is in.
    _server: Process,
    lab: Lab,
    cpus: Cpus,
    _config: TempDir,
}

enum Proxies {
    Sidecars(SidecarKind),
    ByHand(ByHand),
}

impl Bed {
    /// Starts it all and returns when a request has come through.
    ///
    /// # Errors
    /// Names the process that failed, with the end of its log.
    pub fn start(peer: &'static Peer, programs: &Programs, cpus: Cpus) -> anyhow::Result<Bed> {
        lab::pin(cpus.rest).with_context(|| format!("CPU {}", cpus.rest))?;
        let config = tempfile::tempdir()?;
        let sidecars = matches!(peer.way, Way::Sidecar(_));
        fs::write(config.path().join("mesh.yaml"), MESH.replace("INJECT", if sidecars { "true" } else { "false" }))?;
        let mut options = LabOptions::new(config.path(), &programs.meltemi);
        options.state_dir = PathBuf::from("/run").join(peer.name);
        options.proxy_args = Vec::new();
        let lab = Lab::prepare(options)?;
        for pod in lab.pods() {
            pod.enter(settings)?.with_context(|| format!("kernel settings of {}", pod.spec().name))?;
        }
        let program = (peer.program)(programs)?;
        let proxies = match peer.way {
            Way::Sidecar(kind) => {
                lab.control_plane().start()?;
                lab.pods().iter().try_for_each(|pod| pod.redirect())?;
                Proxies::Sidecars(kind(program.clone()))
            }
            Way::ByHand { config, command } => {
                Proxies::ByHand(ByHand::prepare(&lab, program.clone(), config, command)?)
            }
        };
        let mut serve = Command::new(std::env::current_exe()?);
        serve.arg("serve");
        let server = lab.pod("server")?.spawn("app", serve)?;
        let bed = Bed { peer, program, proxies, _server: server, lab, cpus, _config: config };
        bed.restart(Side::Server)?;
        bed.restart(Side::Client)?;
        bed.wait_for_first_answer()?;
        Ok(bed)
    }

    /// Puts a new process in the place of one instance, on its CPU.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart(&self, side: Side) -> anyhow::Result<()> {
        lab::pin(self.cpus.proxies)?;
        let started = match &self.proxies {
            Proxies::Sidecars(kind) => {
                let pod = self.lab.pod(pod(side))?;
                stop_at_once(pod);
                pod.start_sidecar(kind.clone()).map_err(Into::into)
            }
            Proxies::ByHand(by_hand) => by_hand.start(&self.lab, side),
        };
        lab::pin(self.cpus.rest)?;
        started
    }

    /// Where the client connects to.
    pub fn target(&self, service: Service) -> SocketAddr {
        match self.proxies {
            Proxies::Sidecars(_) => service.address(),
            Proxies::ByHand(_) => service.local(),
        }
    }

    /// The process of one instance.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self, side: Side) -> anyhow::Result<i32> {
        match &self.proxies {
            Proxies::Sidecars(_) => Ok(self.lab.pod(pod(side))?.data_plane()?),
            Proxies::ByHand(by_hand) => by_hand.pid(side),
        }
    }

    /// Runs `bench load` in the client's pod with both proxies watched.
    ///
    /// # Errors
    /// When it cannot run; failed requests are in the report.
    pub fn load(&self, service: Service, arguments: &[String]) -> anyhow::Result<Report> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["load", "--target", &self.target(service).to_string(), "--authority", service.name()]);
        command.args(["--watch", &format!("{},{}", self.pid(Side::Client)?, self.pid(Side::Server)?)]).args(arguments);
        let output = self.lab.pod("client")?.run(&mut command)?;
        if !output.status.success() {
            bail!("the load ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("the load's report")
    }

    /// One request, straight from the client's pod.
    fn ask(&self) -> anyhow::Result<()> {
        exchange(self.lab.pod("client")?.connect(self.target(Service::Http1))?)
    }

    /// How long the client's proxy takes from its start to the first answer through it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn time_start(&self) -> anyhow::Result<Duration> {
        let pod = self.lab.pod("client")?;
        let target = self.target(Service::Http1);
        match &self.proxies {
            Proxies::Sidecars(_) => stop_at_once(pod),
            Proxies::ByHand(by_hand) => by_hand.stop(Side::Client),
        }
        std::thread::scope(|scope| {
            let first = scope.spawn(|| pod.enter(|| first_answer(target)));
            lab::pin(self.cpus.proxies)?;
            let started = Instant::now();
            let ready = match &self.proxies {
                Proxies::Sidecars(kind) => pod.start_sidecar(kind.clone()).map_err(Into::into),
                Proxies::ByHand(by_hand) => by_hand.start(&self.lab, Side::Client),
            };
            lab::pin(self.cpus.rest)?;
            let answered = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            ready?;
            Ok(answered.context("no answer came through the new proxy")?.duration_since(started))
        })
    }

    /// Waits until requests come through.
    ///
    /// # Errors
    /// When none does for 20 s, with what the last one died of.
    pub fn wait_for_first_answer(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.ask() {
            self.lab.check()?;
            self.pid(Side::Client).and_then(|_| self.pid(Side::Server))?;
            if Instant::now() > deadline {
                return Err(error.context(format!("no request came through {} within {PATIENCE:?}", self.peer.name)));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Nothing runs through it any more: there is nothing to drain.
fn stop_at_once(pod: &Pod) {
    if let Some(process) = pod.sidecar() {
        process.signal(Signal::SIGKILL);
    }
    pod.stop_sidecar();
}

fn exchange(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let answer = lab::http::request(stream, "POST", Service::Http1.name(), "/8", &[], b"12345678")?;
    if answer.status != 200 || answer.body.len() != 8 {
        bail!("answered with {}: {}", answer.status, answer.text());
    }
    Ok(())
}

/// When the first answer was here: asks again and again, without a pause long enough to be seen in the figure.
fn first_answer(target: SocketAddr) -> Option<Instant> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let stream = TcpStream::connect_timeout(&target, Duration::from_secs(1));
        if stream.is_ok_and(|stream| exchange(stream).is_ok()) {
            return Some(Instant::now());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    None
}

/// The same network on every machine: the congestion control that every kernel has, and room for many short connections, whose range
/// of local ports is wide and used again once a second has passed.
fn settings() -> std::io::Result<()> {
    fs::write("/proc/sys/net/ipv4/tcp_congestion_control", "reno")?;
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "20000 65000")?;
    fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1")
}
