//! The control plane of a lab: one process in the fabric's namespace, which tests kill and start again.

use crate::error::LabError;
use crate::fabric::Fabric;
use crate::http::{self, Response};
use crate::lab::LabOptions;
use crate::process::Process;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long it may take to stop on SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
const HTTP_PORT: u16 = 15014;
const TLS_PORT: u16 = 15012;

/// `meltemi control-plane`: TLS on port 15012 of the bridge's address, HTTP on port 15014 of loopback in the fabric.
#[derive(Debug)]
pub struct ControlPlane {
    arguments: Vec<String>,
    binary: PathBuf,
    env: Vec<(String, String)>,
    log: PathBuf,
    tls: SocketAddr,
    timeout: Duration,
    process: Mutex<Option<Arc<Process>>>,
    fabric: Arc<Fabric>,
}

impl ControlPlane {
    pub(crate) fn new(options: &LabOptions, fabric: Arc<Fabric>) -> ControlPlane {
        let tls = SocketAddr::new(IpAddr::V4(fabric.gateway), TLS_PORT);
        // Both families, where there are pods of both.
        let listen = fabric.gateway_v6.map_or(tls, |_| SocketAddr::from((Ipv6Addr::UNSPECIFIED, TLS_PORT)));
        let mut arguments = vec!["control-plane".to_owned()];
        for (flag, value) in [
            ("--config-dir", options.config_dir.display().to_string()),
            ("--state-dir", options.state_dir.join("control-plane").display().to_string()),
            ("--listen", listen.to_string()),
            ("--http", ControlPlane::http().to_string()),
            ("--trust-domain", options.trust_domain.clone()),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        arguments.extend(options.control_plane_args.iter().cloned());
        ControlPlane {
            arguments,
            binary: options.meltemi.clone(),
            env: options.process_env(),
            log: options.state_dir.join("control-plane.log"),
            tls,
            timeout: options.start_timeout,
            process: Mutex::new(None),
            fabric,
        }
    }

    /// Where pods reach it.
    pub fn address(&self) -> SocketAddr {
        self.tls
    }

    /// Where a pod with this address reaches it.
    pub fn address_for(&self, pod: IpAddr) -> SocketAddr {
        match self.fabric.gateway_v6.filter(|_| pod.is_ipv6()) {
            Some(gateway) => SocketAddr::from((gateway, TLS_PORT)),
            None => self.tls,
        }
    }

    /// Its HTTP address on the fabric's loopback.
    pub fn http() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT))
    }

    /// Starts it and waits until it answers on both ports.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub fn start(&self) -> Result<(), LabError> {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).env_clear().envs(self.env.iter().cloned());
        let process = Process::start("control plane", command, &self.log, &self.fabric.namespaces)?;
        let process = Arc::new(process);
        *self.lock() = Some(Arc::clone(&process));
        process.wait_ready("ports 15012 and 15014", self.timeout, || {
            self.fabric.namespaces.connect(self.tls, Duration::from_secs(1)).is_ok()
                && self.get("/ready").is_ok_and(|response| response.status == 200)
        })
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    /// As of [`ControlPlane::start`].
    pub fn restart(&self) -> Result<(), LabError> {
        self.stop();
        self.start()
    }

    /// SIGTERM, then SIGKILL when it does not listen.
    pub fn stop(&self) {
        if let Some(process) = self.lock().take() {
            process.stop(GRACE);
        }
    }

    /// SIGKILL, as when the machine takes it away.
    pub fn kill(&self) {
        if let Some(process) = self.lock().take() {
            process.stop(Duration::ZERO);
        }
    }

    /// The running process.
    pub fn process(&self) -> Option<Arc<Process>> {
        self.lock().clone()
    }

    /// GET on its HTTP port.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> io::Result<Response> {
        let address = ControlPlane::http();
        let stream = self.fabric.namespaces.connect(address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        http::get(stream, &address.to_string(), path, &[])
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Process>>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
