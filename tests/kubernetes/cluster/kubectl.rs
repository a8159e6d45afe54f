//! What a person would type: kubectl, and the objects and answers that go through it.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::{Cluster, ClusterError};

impl Cluster {
    /// Runs `kubectl` as the administrator and returns what it prints.
    ///
    /// # Errors
    /// With what it printed on standard error, when its status is not 0.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        self.run(self.site.programs.get("kubectl")?, arguments, "")
    }

    /// Creates or changes the objects of a YAML text.
    ///
    /// # Errors
    /// When the API server or a webhook refuses one; others may have been accepted.
    pub fn apply(&self, yaml: &str) -> Result<String, ClusterError> {
        self.run(self.site.programs.get("kubectl")?, &["apply", "-f", "-"], yaml)
    }

    /// Runs a program in a container to its end and returns what it prints.
    ///
    /// # Errors
    /// When it cannot be run or its status is not 0.
    pub fn exec(&self, namespace: &str, pod: &str, container: &str, argv: &[&str]) -> Result<String, ClusterError> {
        let words = ["exec", "--namespace", namespace, pod, "--container", container, "--"];
        self.kubectl(&[&words, argv].concat())
    }

    /// Installs the definitions of Gateway API's standard channel.
    ///
    /// # Errors
    /// When they have not been fetched, or the API server refuses one.
    pub fn gateway_api_crds(&self) -> Result<(), ClusterError> {
        let folder = self.site.programs.get("gateway-api")?.display().to_string();
        // The largest one does not fit into the annotation that a plain apply keeps.
        self.kubectl(&["apply", "--server-side", "-f", &folder])?;
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).map(drop)
    }

    /// A client of the API server; its calls are made within [`Cluster::block_on`].
    pub fn client(&self) -> kube::Client {
        self.api.client()
    }

    /// Runs a future, such as a call of [`Cluster::client`], to its end.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.api.block_on(work)
    }

    /// A program that speaks with the API server as the administrator, such as `kubectl`, `helm` or `meltemi`: those of
    /// the cluster are in its search path.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let folder = self.site.programs.folder().display();
        command.env_clear().env("PATH", format!("{folder}:{}", lab::tools::search_path()));
        // Where kubectl keeps what it has learned of the API.
        command.env("HOME", &self.site.folder).env("KUBECONFIG", self.kubeconfig_file());
        command
    }

    /// Runs a program of [`Cluster::command`] with text on its standard input and returns what it prints.
    ///
    /// # Errors
    /// With what it printed on standard error, when its status is not 0.
    pub fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str], input: &str) -> Result<String, ClusterError> {
        let program = program.as_ref();
        let line = || format!("{} {}", program.display(), arguments.join(" "));
        let failed = || ClusterError::io(line());
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed())?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends without reading its input says why on standard error.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(failed())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ClusterError::Command { command: line(), stderr })
    }
}
