//! A running pod: its namespaces, its sidecar and its application. The lab is its kubelet.

use crate::capture::Capture;
use crate::error::LabError;
use crate::http::{self, Response};
use crate::lab::LabOptions;
use crate::manifest::PodSpec;
use crate::namespaces::Namespaces;
use crate::process::Process;
use crate::redirect;
use crate::sidecar::{self, Papers, SidecarKind};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const READINESS_PORT: u16 = 15021;
const ADMIN_PORT: u16 = 15000;
/// The image that is this very binary: its entry point is `meltemi shop`.
const SHOP_IMAGE: &str = "meltemi/shop";

/// One pod of the lab.
#[derive(Debug)]
pub struct Pod {
    spec: PodSpec,
    namespaces: Namespaces,
    folder: PathBuf,
    control_plane: SocketAddr,
    options: Arc<LabOptions>,
    sidecar: Mutex<Option<(SidecarKind, Arc<Process>)>>,
    app: Mutex<Option<Arc<Process>>>,
}

impl Pod {
    pub(crate) fn new(
        spec: PodSpec,
        namespaces: Namespaces,
        folder: PathBuf,
        control_plane: SocketAddr,
        options: Arc<LabOptions>,
    ) -> Pod {
        Pod { spec, namespaces, folder, control_plane, options, sidecar: Mutex::new(None), app: Mutex::new(None) }
    }

    /// What the manifest says of it.
    pub fn spec(&self) -> &PodSpec {
        &self.spec
    }

    /// Its first address.
    pub fn ip(&self) -> IpAddr {
        self.spec.ip()
    }

    /// Its folder: `token`, `root-cert.pem`, `proxy.log`, `app.log`, `init.log`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its namespaces.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Runs something on a thread inside the pod; see [`Namespaces::enter`].
    ///
    /// # Errors
    /// When the kernel does not let us in.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.namespaces.enter(work)
    }

    /// A TCP connection that the application of this pod could have opened: it is captured.
    ///
    /// # Errors
    /// As of the connection.
    pub fn connect(&self, address: impl Into<SocketAddr>) -> io::Result<TcpStream> {
        self.namespaces.connect(address.into(), Duration::from_secs(10))
    }

    /// A TCP listener in the pod.
    ///
    /// # Errors
    /// As of the listener.
    pub fn listen(&self, address: impl Into<SocketAddr>) -> io::Result<TcpListener> {
        self.namespaces.listen(address.into())
    }

    /// Runs a program in the pod to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, command: &mut Command) -> io::Result<Output> {
        self.enter(|| command.output())?
    }

    /// Starts a program in the pod; its log is `<name>.log` in the pod's folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, name: &str, command: Command) -> Result<Process, LabError> {
        let log = self.folder.join(format!("{name}.log"));
        Process::start(&format!("{name} of {}", self.spec.full_name()), command, &log, &self.namespaces)
    }

    /// GET from inside the pod, such as `127.0.0.1:15000` and `/config_dump`.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn get(&self, address: impl Into<SocketAddr>, path: &str) -> io::Result<Response> {
        let address = address.into();
        let stream = self.namespaces.connect(address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        http::get(stream, &address.to_string(), path, &[])
    }

    /// GET on the sidecar's admin port.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn admin(&self, path: &str) -> io::Result<Response> {
        self.get((Ipv4Addr::LOCALHOST, ADMIN_PORT), path)
    }

    /// Captures what goes over the pod's interfaces until it is stopped.
    ///
    /// # Errors
    /// When the packet socket cannot be opened.
    pub fn capture(&self) -> Result<Capture, LabError> {
        Capture::start(&self.namespaces)
    }

    /// The application's process, while there is one.
    pub fn app(&self) -> Option<Arc<Process>> {
        lock(&self.app).clone()
    }

    /// The sidecar's process, while there is one.
    pub fn sidecar(&self) -> Option<Arc<Process>> {
        lock(&self.sidecar).as_ref().map(|(_, process)| Arc::clone(process))
    }

    /// The process that carries the traffic: the sidecar's own, or the one that its agent has started.
    ///
    /// # Errors
    /// When it does not run, or /proc is not there.
    pub fn data_plane(&self) -> io::Result<i32> {
        let none = || io::Error::other(format!("{} has no data plane", self.spec.full_name()));
        let (kind, process) = lock(&self.sidecar).clone().ok_or_else(none)?;
        match kind {
            SidecarKind::Meltemi => Ok(process.pid()),
            SidecarKind::Envoy { .. } => process.child()?.ok_or_else(none),
        }
    }

    /// Which data plane is beside the application.
    pub fn sidecar_kind(&self) -> Option<SidecarKind> {
        lock(&self.sidecar).as_ref().map(|(kind, _)| kind.clone())
    }

    /// Sets the redirect rules by `meltemi init`; running it again leaves one set.
    ///
    /// # Errors
    /// When it fails; the end of its log says why.
    pub fn redirect(&self) -> Result<(), LabError> {
        let process = self.spawn("init", self.meltemi(redirect::init_arguments(&self.spec)))?;
        match process.wait(self.options.start_timeout) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(process.ended(status)),
            None => process.wait_ready("the redirect rules", Duration::ZERO, || false),
        }
    }

    /// Starts a sidecar and waits until it is ready. Its log is `proxy.log`, whichever kind it is.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub fn start_sidecar(&self, kind: SidecarKind) -> Result<(), LabError> {
        let papers = Papers {
            control_plane: self.control_plane,
            trust_domain: &self.options.trust_domain,
            folder: &self.folder,
            // The rest of the grace is for its own end after the drain.
            drain: self.options.grace * 3 / 5,
        };
        let extra = match kind {
            SidecarKind::Meltemi => &self.options.proxy_args,
            SidecarKind::Envoy { .. } => &self.options.agent_args,
        };
        let arguments = sidecar::arguments(&kind, &self.spec, &papers, extra);
        let process = Arc::new(self.spawn("proxy", self.meltemi(arguments))?);
        *lock(&self.sidecar) = Some((kind, Arc::clone(&process)));
        process.wait_ready("readiness on port 15021", self.options.start_timeout, || {
            let answer = self.get((self.ip(), READINESS_PORT), "/healthz/ready");
            answer.is_ok_and(|response| response.status == 200)
        })
    }

    /// SIGTERM to the sidecar, and SIGKILL when it has not drained in time.
    pub fn stop_sidecar(&self) {
        let process = lock(&self.sidecar).take();
        if let Some((_, process)) = process {
            process.stop(self.options.grace);
        }
    }

    /// Puts another sidecar in the place of the present one.
    ///
    /// # Errors
    /// As of [`Pod::start_sidecar`].
    pub fn replace_sidecar(&self, kind: SidecarKind) -> Result<(), LabError> {
        self.stop_sidecar();
        self.start_sidecar(kind)
    }

    /// Starts the container's command and waits until its ports accept.
    ///
    /// # Errors
    /// When it ends or does not listen in time.
    pub fn start_app(&self) -> Result<(), LabError> {
        let Some((program, arguments)) = self.app_command() else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.options.process_env());
        command.env("HOSTNAME", &self.spec.name).envs(self.spec.env.iter().cloned());
        let process = Arc::new(self.spawn("app", command)?);
        *lock(&self.app) = Some(Arc::clone(&process));
        for port in &self.spec.ports {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            process.wait_ready(&format!("port {port}"), self.options.start_timeout, || {
                self.namespaces.connect(address, Duration::from_secs(1)).is_ok()
            })?;
        }
        Ok(())
    }

    /// SIGTERM to the application, and SIGKILL when it has not finished in time.
    pub fn stop_app(&self) {
        let process = lock(&self.app).take();
        if let Some(process) = process {
            process.stop(self.options.grace);
        }
    }

    /// Kills what runs.
    pub(crate) fn kill(&self) {
        *lock(&self.app) = None;
        *lock(&self.sidecar) = None;
    }

    /// An image that is not ours has no root file system here: its command must name a program of this machine.
    fn app_command(&self) -> Option<(PathBuf, Vec<String>)> {
        let spec = &self.spec;
        let image = spec.image.rsplit_once(':').map_or(spec.image.as_str(), |(name, _)| name);
        match spec.command.split_first() {
            None if image.ends_with(SHOP_IMAGE) => {
                let arguments = std::iter::once("shop".to_owned()).chain(spec.args.iter().cloned());
                Some((self.options.meltemi.clone(), arguments.collect()))
            }
            None => None,
            Some((program, rest)) => {
                let program = if program == "meltemi" { self.options.meltemi.clone() } else { program.into() };
                Some((program, rest.iter().chain(&spec.args).cloned().collect()))
            }
        }
    }

    fn meltemi(&self, arguments: Vec<String>) -> Command {
        let mut command = Command::new(&self.options.meltemi);
        command.args(arguments).env_clear().envs(self.options.process_env());
        command
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
