//! A running cluster: its parts, which can be taken away and brought back, and its end, which leaves nothing.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lab::{Namespaces, Process};

use crate::control_group::ControlGroup;
use crate::node::Node;
use crate::site::{Options, Site};
use crate::start::api::Api;
use crate::{Addresses, ClusterError, Component, Kubeconfig, Programs, papers};

/// Where clusters keep their files: in a sandbox /run is empty, in memory, and seen by nobody else.
const FOLDER: &str = "/run/kubernetes";
/// How long a part may take to end in order.
const GRACE: Duration = Duration::from_secs(2);

/// A cluster of one node. Dropping it ends everything that it consists of.
#[derive(Debug)]
pub struct Cluster {
    // Fields drop in this order: what runs before what it stands on.
    pub(crate) api: Api,
    processes: Mutex<BTreeMap<Component, Process>>,
    group: ControlGroup,
    pub(crate) node: Node,
    admin: Kubeconfig,
    pub(crate) site: Site,
}

impl Cluster {
    /// Starts a cluster and returns when pods can be made: the node is ready, names are answered.
    ///
    /// # Errors
    /// Names the part that failed, with the end of its log.
    pub fn start(options: Options) -> Result<Cluster, ClusterError> {
        let cluster = Cluster::prepare(options)?;
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Everything but the processes.
    fn prepare(options: Options) -> Result<Cluster, ClusterError> {
        if !lab::sandbox::is_inside() {
            return Err(ClusterError::NotInSandbox);
        }
        let programs = Programs::find()?;
        let addresses = Addresses::take()?;
        let group = ControlGroup::create()?;
        let folder = PathBuf::from(format!("{FOLDER}-{}", addresses.number()));
        let site = Site { addresses, programs, options, control_group: group.name(), folder };
        site.make_folder("log")?;
        let admin = papers::issue(&site)?;
        let node = Node::create(&site)?;
        Component::ALL.into_iter().try_for_each(|component| component.configure(&site))?;
        let api = Api::new(&admin)?;
        Ok(Cluster { api, processes: Mutex::default(), group, node, admin, site })
    }

    /// Starts a part that does not run, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the end of its log says why.
    pub fn start_component(&self, component: Component) -> Result<(), ClusterError> {
        let command = self.in_group(&component.command(&self.site)?);
        let log = self.site.log(component.name());
        let process = Process::start(component.name(), command, &log, &self.node.namespaces)?;
        let ready = process.wait_ready("readiness", Duration::from_secs(60), || self.is_ready(component));
        self.processes().insert(component, process);
        Ok(ready?)
    }

    /// Takes a part away: SIGTERM, and SIGKILL soon after. What it has started stays.
    pub fn stop_component(&self, component: Component) {
        let process = self.processes().remove(&component);
        if let Some(process) = process {
            process.stop(GRACE);
        }
    }

    /// Takes a part away and brings it back.
    ///
    /// # Errors
    /// As of [`Cluster::start_component`].
    pub fn restart_component(&self, component: Component) -> Result<(), ClusterError> {
        self.stop_component(component);
        self.start_component(component)
    }

    /// Looks until `look` says yes. What it last saw is in the error.
    ///
    /// # Errors
    /// When that takes longer than `limit`, or a part of the cluster has ended by itself.
    pub fn wait_until<T, E: Display>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<T, E>,
    ) -> Result<T, ClusterError> {
        let started = Instant::now();
        loop {
            let last = match look() {
                Ok(value) => return Ok(value),
                Err(missing) => missing.to_string(),
            };
            for process in self.processes().values().filter(|process| process.exited().is_some()) {
                process.wait_ready(what, Duration::ZERO, || false)?;
            }
            if started.elapsed() > limit {
                return Err(ClusterError::NotYet { what: what.to_owned(), after: limit, last });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A name that no other cluster of the machine has, in whatever sandbox: that of its control group.
    pub fn name(&self) -> &str {
        self.site.control_group.trim_start_matches('/')
    }

    /// Where things are.
    pub fn addresses(&self) -> &Addresses {
        &self.site.addresses
    }

    /// The node's namespaces: a thread that enters them sees Services as the node does, and can listen there for pods.
    pub fn node(&self) -> &Namespaces {
        &self.node.namespaces
    }

    /// The programs that were built for the cluster.
    pub fn programs(&self) -> &Programs {
        &self.site.programs
    }

    /// The administrator's way to the API server.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.admin
    }

    /// The same as a file, for programs that run in the sandbox.
    pub fn kubeconfig_file(&self) -> PathBuf {
        self.site.path("kubeconfig/admin")
    }

    /// The cluster's folder: logs of its parts in `log`, logs of pods in `pod-logs`.
    pub fn folder(&self) -> &Path {
        &self.site.folder
    }

    /// The id of the process of a part, while it runs.
    pub fn process(&self, component: Component) -> Option<i32> {
        self.processes().get(&component).map(Process::pid)
    }

    /// The same command, as a member of the cluster's control group; what it starts will be, too.
    fn in_group(&self, command: &Command) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(self.group.entrance());
        shell.arg(command.get_program()).args(command.get_args());
        shell.env_clear().env("PATH", lab::tools::search_path()).env("HOME", &self.site.folder);
        shell.env("TMPDIR", &self.site.folder);
        shell
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<Component, Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
