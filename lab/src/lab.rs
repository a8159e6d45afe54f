//! A whole mesh on one machine: control plane, pods and the network between them, started in the order of a cluster.

use crate::control_plane::ControlPlane;
use crate::credentials::Issuer;
use crate::error::LabError;
use crate::fabric::Fabric;
use crate::manifest::{Manifests, PodSpec};
use crate::namespaces::{Bind, Namespaces};
use crate::pod::Pod;
use crate::process::Process;
use crate::sandbox;
use crate::sidecar::SidecarKind;
use crate::tools;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How a lab is set up.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// The directory of manifests: the control plane's configuration, and the Pods to run.
    pub config_dir: PathBuf,
    /// The program `meltemi`.
    pub meltemi: PathBuf,
    /// Where keys, tokens and logs go. It is made when missing and left behind: /run is empty and private in a sandbox.
    pub state_dir: PathBuf,
    /// The trust domain (`cluster.local`).
    pub trust_domain: String,
    /// The data plane of pods that `sidecars` does not name.
    pub default_sidecar: SidecarKind,
    /// The data plane of some pods, by name.
    pub sidecars: HashMap<String, SidecarKind>,
    /// More arguments for `meltemi control-plane`.
    pub control_plane_args: Vec<String>,
    /// More arguments for every `meltemi proxy` (its access log goes to its log).
    pub proxy_args: Vec<String>,
    /// More arguments for every `meltemi agent`.
    pub agent_args: Vec<String>,
    /// More environment for every process, such as RUST_LOG.
    pub env: Vec<(String, String)>,
    /// How long one process may take to become ready (30 s).
    pub start_timeout: Duration,
    /// How long an application or a sidecar may take to finish on SIGTERM before it is killed (5 s).
    pub grace: Duration,
    /// Told in a few words what is being started.
    pub progress: fn(&str),
}

impl LabOptions {
    /// The defaults around a configuration directory and the program `meltemi`.
    pub fn new(config_dir: impl Into<PathBuf>, meltemi: impl Into<PathBuf>) -> LabOptions {
        LabOptions {
            config_dir: config_dir.into(),
            meltemi: meltemi.into(),
            state_dir: PathBuf::from("/run/meltemi"),
            trust_domain: "cluster.local".to_owned(),
            default_sidecar: SidecarKind::Meltemi,
            sidecars: HashMap::new(),
            control_plane_args: Vec::new(),
            proxy_args: vec!["--access-log=stdout".to_owned()],
            agent_args: Vec::new(),
            env: Vec::new(),
            start_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            progress: |_| {},
        }
    }

    /// The environment of every process: nothing of ours but the search path, as in a container.
    pub(crate) fn process_env(&self) -> Vec<(String, String)> {
        let mut env = vec![("PATH".to_owned(), tools::search_path()), ("HOME".to_owned(), "/".to_owned())];
        env.extend(self.env.iter().cloned());
        env
    }

    fn sidecar_of(&self, pod: &PodSpec) -> SidecarKind {
        self.sidecars.get(&pod.name).unwrap_or(&self.default_sidecar).clone()
    }
}

/// A running lab. Dropping it kills its processes, and its network goes with them.
#[derive(Debug)]
pub struct Lab {
    // Fields drop in this order: applications and sidecars before what they stand on.
    pods: Vec<Arc<Pod>>,
    control_plane: Arc<ControlPlane>,
    fabric: Arc<Fabric>,
    options: Arc<LabOptions>,
}

impl Lab {
    /// Starts everything and returns when every pod is ready.
    ///
    /// # Errors
    /// Names the process that failed, with the end of its log.
    pub fn start(options: LabOptions) -> Result<Lab, LabError> {
        let lab = Lab::prepare(options)?;
        (lab.options.progress)("starting the control plane");
        lab.control_plane.start()?;
        (lab.options.progress)("starting the sidecars");
        in_parallel(&lab.pods, |pod| {
            if !pod.spec().has_sidecar() {
                return Ok(());
            }
            pod.redirect()?;
            pod.start_sidecar(lab.options.sidecar_of(pod.spec()))
        })?;
        (lab.options.progress)("starting the applications");
        // Those that only call others come last, so that nobody calls into the void.
        let (servers, clients): (Vec<_>, Vec<_>) =
            lab.pods.iter().cloned().partition(|pod| !pod.spec().ports.is_empty());
        in_parallel(&servers, |pod| pod.start_app())?;
        in_parallel(&clients, |pod| pod.start_app())?;
        Ok(lab)
    }

    /// Network, folders, names and papers; no process yet. For tests that start the parts in their own order.
    ///
    /// # Errors
    /// When a manifest cannot be used or the system refuses something.
    pub fn prepare(mut options: LabOptions) -> Result<Lab, LabError> {
        if !sandbox::is_inside() {
            return Err(LabError::NotInSandbox);
        }
        let config_dir = &options.config_dir;
        let absolute = fs::canonicalize(config_dir)
            .map_err(LabError::io(format!("configuration directory {}", config_dir.display())))?;
        options.config_dir = absolute;
        let manifests = Manifests::read(&options.config_dir)?;
        let issuer = Issuer::open(&make_folder(&options.state_dir.join("control-plane"))?, &options.trust_domain)?;
        (options.progress)("creating the network");
        let options = Arc::new(options);
        let nobody = make_folder(&options.state_dir.join("fabric"))?;
        let fabric = Arc::new(Fabric::create(&manifests.pods, names(&nobody, "127.0.0.1 localhost\n")?)?);
        let control_plane = Arc::new(ControlPlane::new(&options, Arc::clone(&fabric)));
        let mut pods = Vec::new();
        for spec in &manifests.pods {
            let folder = make_folder(&options.state_dir.join(format!("pods/{}.{}", spec.namespace, spec.name)))?;
            issuer.write(spec, &folder)?;
            let binds = names(&folder, &manifests.hosts(&spec.namespace))?;
            let namespaces = Namespaces::create(binds);
            let namespaces = namespaces.map_err(LabError::io(format!("namespaces of {}", spec.full_name())))?;
            let address = control_plane.address_for(spec.ip());
            pods.push(Arc::new(Pod::new(spec.clone(), namespaces, folder, address, Arc::clone(&options))));
        }
        let addresses: Vec<_> = pods.iter().map(|pod| (pod.spec().ips.as_slice(), pod.namespaces())).collect();
        fabric.connect(&addresses)?;
        Ok(Lab { pods, control_plane, fabric, options })
    }

    /// All pods, in the order of the manifests.
    pub fn pods(&self) -> &[Arc<Pod>] {
        &self.pods
    }

    /// A pod by `name` or `namespace/name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn pod(&self, name: &str) -> Result<&Arc<Pod>, LabError> {
        let found = self.pods.iter().find(|pod| pod.spec().name == name || pod.spec().full_name() == name);
        found.ok_or_else(|| LabError::NoSuchPod(name.to_owned()))
    }

    /// The control plane.
    pub fn control_plane(&self) -> &Arc<ControlPlane> {
        &self.control_plane
    }

    /// A connection from the fabric, where the control plane's loopback is.
    ///
    /// # Errors
    /// As of the connection.
    pub fn connect_fabric(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.fabric.namespaces.connect(address, Duration::from_secs(2))
    }

    /// The first process that has ended though nobody stopped it.
    ///
    /// # Errors
    /// [`LabError::Ended`] with the end of its log.
    pub fn check(&self) -> Result<(), LabError> {
        let of_pods = self.pods.iter().flat_map(|pod| [pod.sidecar(), pod.app()]);
        let all = of_pods.chain([self.control_plane.process()]).flatten();
        all.filter_map(|process: Arc<Process>| process.exited().map(|status| process.ended(status)))
            .next()
            .map_or(Ok(()), Err)
    }

    /// Stops everything in order: applications, then sidecars, then the control plane; each may finish what it has begun.
    pub fn stop(&self) {
        let quietly = |stop: fn(&Pod)| {
            let _ = in_parallel(&self.pods, |pod| {
                stop(pod);
                Ok(())
            });
        };
        quietly(Pod::stop_app);
        quietly(Pod::stop_sidecar);
        self.control_plane.stop();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for pod in &self.pods {
            pod.kill();
        }
        self.control_plane.kill();
    }
}

/// The files behind /etc/hosts and /etc/resolv.conf. Nothing answers at that nameserver: an unknown name fails at once.
fn names(folder: &Path, hosts: &str) -> Result<Vec<Bind>, LabError> {
    let mut binds = Vec::new();
    for (name, text) in [("hosts", hosts), ("resolv.conf", "nameserver 127.0.0.1\noptions attempts:1\n")] {
        let from = folder.join(name);
        fs::write(&from, text).map_err(LabError::io(format!("write {}", from.display())))?;
        binds.push(Bind { from, to: Path::new("/etc").join(name) });
    }
    Ok(binds)
}

fn make_folder(path: &Path) -> Result<PathBuf, LabError> {
    fs::create_dir_all(path).map_err(LabError::io(format!("create {}", path.display())))?;
    Ok(path.to_owned())
}

/// Does the same for every pod at once; the first error counts.
fn in_parallel(pods: &[Arc<Pod>], work: impl Fn(&Pod) -> Result<(), LabError> + Sync) -> Result<(), LabError> {
    std::thread::scope(|scope| {
        let running: Vec<_> = pods.iter().map(|pod| scope.spawn(|| work(pod))).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
