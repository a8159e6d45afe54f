//! Configuration directories for tests: the objects that a cluster would hold, written by a few words each.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lab::{Lab, LabOptions};
use tempfile::TempDir;

use crate::meltemi;

/// The namespace of everything here.
pub const NAMESPACE: &str = "test";

/// A configuration directory that goes with the value.
pub struct Config {
    dir: TempDir,
}

/// One replica of an application.
pub struct Replica {
    /// Pod name.
    pub pod: &'static str,
    /// Last part of its address, 10.44.2.x.
    pub host: u8,
    /// Label `version`.
    pub version: &'static str,
}

impl Config {
    /// An empty mesh with one namespace.
    pub fn new() -> Self {
        let config = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        config.write("namespace.yaml", &format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n"));
        config
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file as an editor would: whole, by renaming.
    pub fn write(&self, file: &str, text: &str) {
        let aside = self.dir.path().join(format!(".{file}.new"));
        fs::write(&aside, text).expect("write");
        fs::rename(aside, self.dir.path().join(file)).expect("rename");
    }

    /// A Service with its endpoints and pods; `ports` are `(name, service port, pod port)`.
    pub fn app(&self, name: &str, cluster_ip: &str, ports: &[(&str, u16, u16)], args: &[&str], replicas: &[Replica]) {
        let mut text = service(name, cluster_ip, ports);
        text.push_str(&endpoints(name, ports, replicas.iter().map(|replica| (replica.pod, replica.host))));
        for replica in replicas {
            let containers: Vec<u16> = ports.iter().map(|(_, _, target)| *target).collect();
            text.push_str(&pod(name, replica, "meltemi/shop", "", args, &containers, true));
        }
        self.write(&format!("{name}.yaml"), &text);
    }

    /// A pod without an application of its own, with or without a sidecar, to make requests from.
    pub fn client(&self, name: &'static str, host: u8, sidecar: bool) {
        let replica = Replica { pod: name, host, version: "v1" };
        self.write(&format!("{name}.yaml"), &pod(name, &replica, "none", "[sleep, infinity]", &[], &[], sidecar));
    }

    /// Echo in two versions behind one Service at 10.96.2.10:80, with subsets; a client with a sidecar at 10.44.2.2.
    pub fn echo() -> Self {
        let config = Self::new();
        config.client("client", 2, true);
        let replicas =
            [Replica { pod: "echo-v1", host: 11, version: "v1" }, Replica { pod: "echo-v2", host: 12, version: "v2" }];
        config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &replicas);
        config.write("echo-subsets.yaml", SUBSETS);
        config
    }

    /// A VirtualService for echo with these `http` rules, indented by four.
    pub fn echo_routes(&self, rules: &str) {
        self.write("echo-routes.yaml", &virtual_service("echo", rules));
    }

    /// Sets mTLS for the namespace.
    pub fn mtls(&self, mode: &str) {
        let text = format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: default\n  namespace: {NAMESPACE}\n\
             spec:\n  mtls:\n    mode: {mode}\n"
        );
        self.write("mtls.yaml", &text);
    }

    /// Starts it.
    pub fn start(&self) -> Result<Lab, lab::LabError> {
        Lab::start(self.options())
    }

    /// How it would be started.
    pub fn options(&self) -> LabOptions {
        let mut options = LabOptions::new(self.path(), meltemi());
        options.proxy_args.extend(["--report-every", "1s"].map(str::to_owned));
        options
    }
}

const SUBSETS: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: echo
  namespace: test
spec:
  host: echo
  subsets:
    - name: v1
      labels: {version: v1}
    - name: v2
      labels: {version: v2}
";

/// A VirtualService of this name and host.
pub fn virtual_service(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n\
         spec:\n  hosts: [{name}]\n  http:\n{rules}\n"
    )
}

/// A Service.
pub fn service(name: &str, cluster_ip: &str, ports: &[(&str, u16, u16)]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\nspec:\n  clusterIP: {cluster_ip}\n  \
         selector: {{app: {name}}}\n  ports:\n"
    );
    for (port, number, target) in ports {
        let _ = writeln!(text, "    - {{name: {port}, port: {number}, targetPort: {target}}}");
    }
    text.push_str("---\n");
    text
}

/// The EndpointSlice of a Service.
pub fn endpoints<'a>(name: &str, ports: &[(&str, u16, u16)], pods: impl Iterator<Item = (&'a str, u8)>) -> String {
    let mut text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  \
         labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\nports:\n"
    );
    for (port, _, target) in ports {
        let _ = writeln!(text, "  - {{name: {port}, port: {target}}}");
    }
    text.push_str("endpoints:\n");
    for (pod, host) in pods {
        let _ = writeln!(
            text,
            "  - addresses: [10.44.2.{host}]\n    conditions: {{ready: true}}\n    \
             targetRef: {{kind: Pod, name: {pod}, namespace: {NAMESPACE}}}"
        );
    }
    text.push_str("---\n");
    text
}

fn pod(
    app: &str,
    replica: &Replica,
    image: &str,
    command: &str,
    args: &[&str],
    ports: &[u16],
    sidecar: bool,
) -> String {
    let Replica { pod, host, version } = replica;
    let mut text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {pod}\n  namespace: {NAMESPACE}\n  labels:\n    app: {app}\n    version: {version}\n"
    );
    if !sidecar {
        text.push_str("    sidecar.istio.io/inject: \"false\"\n");
    }
    let _ =
        write!(text, "spec:\n  serviceAccountName: {app}\n  containers:\n    - name: {app}\n      image: {image}\n");
    if !command.is_empty() {
        let _ = writeln!(text, "      command: {command}");
    }
    if !args.is_empty() {
        let _ = writeln!(text, "      args: [{}]", args.join(", "));
    }
    let _ = writeln!(text, "      env: [{{name: APP_VERSION, value: {version}}}]");
    if !ports.is_empty() {
        let ports: Vec<String> = ports.iter().map(|port| format!("{{containerPort: {port}}}")).collect();
        let _ = writeln!(text, "      ports: [{}]", ports.join(", "));
    }
    let _ = write!(text, "status:\n  podIP: 10.44.2.{host}\n---\n");
    text
}
