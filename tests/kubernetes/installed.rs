//! Meltemi on a cluster of its own, installed with the command that a user runs. It is started once for all tests that
//! leave it as they found it; a test that fails shows the state of the cluster.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterError, Options, echo};
use lab::Namespaces;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{Outcome, meltemi};

/// The namespace of the control plane.
pub const SYSTEM: &str = "meltemi-system";
/// Where every sidecar shows its metrics.
const METRICS_PORT: u16 = 15090;
/// How long something may take that takes a second or two on a machine that has nothing else to do.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A cluster with Meltemi.
#[derive(Debug)]
pub struct Installed {
    /// The cluster.
    pub cluster: Cluster,
}

enum Shared {
    NotStarted,
    Running(Arc<Installed>),
    Failed(String),
}

static SHARED: Mutex<Shared> = Mutex::new(Shared::NotStarted);

/// A test on the shared cluster. It makes namespaces of its own, and what it takes away from the mesh it brings back.
pub fn on_mesh(name: &str, body: impl FnOnce(&Installed) -> Outcome + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let mesh = shared()?;
        let started = Instant::now();
        let outcome = body(&mesh);
        println!("  took {:.1} s", started.elapsed().as_secs_f32());
        if outcome.is_err() {
            mesh.show();
        }
        outcome
    })
}

/// Ends the shared cluster, if there is one.
pub fn end() {
    *SHARED.lock().unwrap_or_else(PoisonError::into_inner) = Shared::NotStarted;
}

fn shared() -> Result<Arc<Installed>, String> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*shared, Shared::NotStarted) {
        *shared = match Installed::start() {
            Ok(mesh) => Shared::Running(Arc::new(mesh)),
            Err(error) => Shared::Failed(error),
        };
    }
    match &*shared {
        Shared::Running(mesh) => Ok(Arc::clone(mesh)),
        Shared::Failed(error) => Err(error.clone()),
        Shared::NotStarted => unreachable!("started above"),
    }
}

impl Installed {
    /// A cluster with the images of the program under test, Gateway API's definitions, and Meltemi.
    ///
    /// # Errors
    /// In words; what the installer printed is among them, and the state of the cluster on standard output.
    pub fn start() -> Result<Installed, String> {
        let started = Instant::now();
        let mesh = Installed::prepare().map_err(|error| error.to_string())?;
        println!("a cluster with images after {:.1} s", started.elapsed().as_secs_f32());
        let started = Instant::now();
        let said = mesh.meltemi(&["install"]).inspect_err(|_| mesh.show())?;
        println!("{said}installed after {:.1} s", started.elapsed().as_secs_f32());
        Ok(mesh)
    }

    fn prepare() -> Result<Installed, ClusterError> {
        // Those who install see to a cluster of one family (`install.rs`).
        let cluster = Cluster::start(Options { dual_stack: true, ..Options::default() })?;
        cluster.gateway_api_crds()?;
        cluster.load(&echo(cluster.programs())?)?;
        cluster.load_meltemi(&meltemi())?;
        Ok(Installed { cluster })
    }

    /// Runs the program under test as the cluster's administrator and returns what it prints.
    ///
    /// # Errors
    /// When its status is not 0: with all that it printed.
    pub fn meltemi(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.cluster.command(meltemi());
        let output = command.args(arguments).output().map_err(|error| error.to_string())?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            return Ok(out.into_owned());
        }
        Err(format!("`meltemi {}` ended with {}:\n{out}{err}", arguments.join(" "), output.status))
    }

    /// Makes a namespace whose pods get sidecars.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn enrolled(&self, name: &str) -> Result<(), ClusterError> {
        self.namespace(name, "istio-injection: enabled")
    }

    /// Makes a namespace with labels, such as `istio-injection: enabled`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn namespace(&self, name: &str, labels: &str) -> Result<(), ClusterError> {
        let yaml = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{{labels}}}}}}}");
        self.cluster.apply(&yaml)?;
        // No pod can be made before.
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        self.cluster.wait_until("the default service account", LIMIT, || self.cluster.get(&account)).map(drop)
    }

    /// Applies a YAML text to a namespace.
    ///
    /// # Errors
    /// When the API server or a webhook refuses one of the objects.
    pub fn apply(&self, namespace: &str, yaml: &str) -> Result<(), ClusterError> {
        let file = self.cluster.folder().join("applied.yaml");
        std::fs::write(&file, yaml).map_err(|source| ClusterError::Io { what: file.display().to_string(), source })?;
        let file = file.display().to_string();
        self.cluster.kubectl(&["apply", "--namespace", namespace, "-f", &file]).map(drop)
    }

    /// Waits until Deployments or StatefulSets (`deployment/web`) are rolled out, and until no endpoint of the namespace's
    /// Services is behind its pod: Kubernetes tells of a ready pod first, and of its endpoints up to seconds later.
    ///
    /// # Errors
    /// When they are not in time.
    pub fn rolled_out(&self, namespace: &str, workloads: &[&str]) -> Result<(), ClusterError> {
        workloads.iter().try_for_each(|workload| {
            let words = ["rollout", "status", "--timeout=90s", "--namespace", namespace, workload];
            self.cluster.kubectl(&words).map(drop)
        })?;
        self.cluster.wait_until("endpoints as ready as their pods", LIMIT, || self.endpoints_follow(namespace))
    }

    fn endpoints_follow(&self, namespace: &str) -> Result<(), String> {
        let get = |path: String| self.cluster.get(&path).map_err(|error| error.to_string());
        let pods = get(format!("/api/v1/namespaces/{namespace}/pods"))?;
        let slices = get(format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"))?;
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.into_iter().any(|of| of["type"] == "Ready" && of["status"] == "True");
            ready && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let ready = pods["items"].as_array().into_iter().flatten().filter(is_ready);
        let ready: HashSet<_> = ready.filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
        let slices = slices["items"].as_array().into_iter().flatten();
        let mut endpoints = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let late = endpoints.find(|endpoint| {
            let pod = endpoint["targetRef"]["name"].as_str().unwrap_or_default();
            ready.contains(pod) && endpoint["conditions"]["ready"] != true
        });
        late.map_or(Ok(()), |endpoint| Err(format!("the pod is ready, not its endpoint {endpoint}")))
    }

    /// The name of the one running pod with a label, such as `app=web`.
    ///
    /// # Errors
    /// When there is none.
    pub fn pod(&self, namespace: &str, label: &str) -> Result<String, String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={label}");
        let pods = self.cluster.get(&path).map_err(|error| error.to_string())?;
        let mut all = pods["items"].as_array().into_iter().flatten().map(|pod| &pod["metadata"]);
        let found = all.find(|pod| pod["deletionTimestamp"].is_null()).and_then(|pod| pod["name"].as_str());
        found.map(str::to_owned).ok_or_else(|| format!("no pod of {namespace} has the label {label}"))
    }

    /// The network of that pod.
    ///
    /// # Errors
    /// When there is none, or it does not run.
    pub fn network(&self, namespace: &str, label: &str) -> Result<Namespaces, String> {
        let pod = self.pod(namespace, label)?;
        self.cluster.pod_network(namespace, &pod).map_err(|error| error.to_string())
    }

    /// The address of a Service.
    ///
    /// # Errors
    /// When there is none.
    pub fn address(&self, namespace: &str, service: &str, port: u16) -> Result<SocketAddr, String> {
        let path = format!("/api/v1/namespaces/{namespace}/services/{service}");
        let service = self.cluster.get(&path).map_err(|error| error.to_string())?;
        let ip = service["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
        ip.map(|ip| (ip, port).into()).ok_or_else(|| format!("{path} has no address"))
    }

    /// The metrics of a pod's sidecar, as Prometheus reads them.
    ///
    /// # Errors
    /// When the sidecar does not answer.
    pub fn metrics(&self, namespace: &str, pod: &str) -> Result<String, String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
        let status = &self.cluster.get(&path).map_err(|error| error.to_string())?["status"];
        let ip = status["podIP"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok()).ok_or("the pod has no address")?;
        let read = || {
            let stream = TcpStream::connect_timeout(&(ip, METRICS_PORT).into(), LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            lab::http::get(stream, pod, "/stats/prometheus", &[])
        };
        read().map(|answer| answer.text()).map_err(|error| format!("metrics of {namespace}/{pod}: {error}"))
    }

    /// The process of the control plane.
    ///
    /// # Errors
    /// When it does not run.
    pub fn control_plane(&self) -> Result<i32, String> {
        let pod = self.pod(SYSTEM, "app=meltemi")?;
        self.cluster.container_process(SYSTEM, &pod, "control-plane").map_err(|error| error.to_string())
    }

    /// Prints what a person would look at first.
    fn show(&self) {
        let logs = ["logs", "--namespace", SYSTEM, "--selector=app=meltemi", "--tail=60", "--prefix"];
        let looks: [&[&str]; 4] = [
            &["get", "pods", "--all-namespaces", "--output=wide"],
            &["get", "events", "--all-namespaces", "--field-selector=type=Warning"],
            &logs,
            &[&logs[..], &["--previous"]].concat(),
        ];
        for look in looks {
            let said = self.cluster.kubectl(look).unwrap_or_else(|error| error.to_string());
            println!("$ kubectl {}\n{said}", look.join(" "));
        }
    }
}
