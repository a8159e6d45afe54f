//! Calls from a pod by Istio's echo client, and what the server says that it saw.

use crate::installed::Installed;

/// The container of pods that can call.
pub const ECHO: &str = "echo";

/// What the client printed of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer(String);

impl Answer {
    /// What stands behind `name=`: of the answer or of what the server saw.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.split_once("] ")?.1.strip_prefix(name)?.strip_prefix('='))
    }

    /// A header of the request as the server saw it, in any spelling.
    pub fn request_header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// All request headers of this name.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.0.lines().filter_map(|line| line.split_once("] RequestHeader="));
        let split = lines.filter_map(|(_, header)| header.split_once(':'));
        split.filter_map(move |(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The identity that the server's sidecar saw in the caller's certificate.
    pub fn caller(&self) -> Option<&str> {
        let elements = self.request_header("X-Forwarded-Client-Cert")?.split([';', ',']);
        elements.filter_map(|element| element.strip_prefix("URI=")).next_back()
    }

    /// Fails with all that was printed unless the status is 200 and the server's pod has this name or generated name.
    pub fn came_from(&self, pod: &str) -> Result<(), String> {
        // A WebSocket's answer has the message before it on the same line.
        let well = self.0.lines().any(|line| line.ends_with("StatusCode=200"));
        let served = self.field("Hostname").is_some_and(|name| name == pod || name.starts_with(&format!("{pod}-")));
        if well && served { Ok(()) } else { Err(format!("not {pod}: {}", self.0)) }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Installed {
    /// Calls from the pod with the label `app=<app>`; `arguments` end with a URL.
    ///
    /// # Errors
    /// When there is no answer at all, or it is not the expected one of TCP. Any HTTP status is an answer.
    pub fn call(&self, namespace: &str, app: &str, arguments: &[&str]) -> Result<Answer, String> {
        let pod = self.pod(namespace, &format!("app={app}"))?;
        let mut kubectl = self.cluster.command("kubectl");
        kubectl.args(["exec", "--namespace", namespace, &pod, "--container", ECHO, "--", "client", "--timeout=5s"]);
        let output = kubectl.args(arguments).output().map_err(|error| error.to_string())?;
        // Why it failed stands on its standard output.
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if output.status.success() {
            return Ok(Answer(said[0].clone()));
        }
        Err(format!("{app} -> {}: {}", arguments.join(" "), said.concat().trim()))
    }
}
