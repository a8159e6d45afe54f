//! The processes behind containers, as this machine sees them: what they cost, and the network that they are in.

use lab::{Namespaces, tools};
use serde_json::Value;

use crate::{Cluster, ClusterError, containerd};

impl Cluster {
    /// The id of the first process of a running container, an init container included.
    ///
    /// # Errors
    /// When there is no such pod or container, or it does not run.
    pub fn container_process(&self, namespace: &str, pod: &str, container: &str) -> Result<i32, ClusterError> {
        let status = &self.api.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}"))?["status"];
        let lists = ["initContainerStatuses", "containerStatuses"].map(|list| status[list].as_array());
        let mut all = lists.into_iter().flatten().flatten();
        let id = all.find(|one| one["name"] == container).and_then(|one| one["containerID"].as_str());
        let place = || format!("container {container} of pod {namespace}/{pod}");
        let Some(id) = id.and_then(|id| id.strip_prefix("containerd://")) else {
            return Err(ClusterError::NoProcess(place()));
        };
        let socket = containerd::socket(&self.site);
        let tasks = tools::run("ctr", &["--address", &socket, "--namespace", "k8s.io", "tasks", "ls"], "")?;
        process(&tasks, id).ok_or_else(|| ClusterError::NoProcess(place()))
    }

    /// The network of a pod. What connects from inside is treated as the application's own traffic.
    ///
    /// # Errors
    /// When there is no such pod, or its first container does not run.
    pub fn pod_network(&self, namespace: &str, pod: &str) -> Result<Namespaces, ClusterError> {
        let spec = &self.api.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}"))?["spec"];
        let container = &spec["containers"][0]["name"];
        let process = self.container_process(namespace, pod, container.as_str().unwrap_or_default())?;
        Namespaces::network_of(process).map_err(ClusterError::io(format!("network of pod {namespace}/{pod}")))
    }

    /// An object of the API server by its path, such as `/api/v1/namespaces/default/pods/web`.
    ///
    /// # Errors
    /// When it does not exist, or the API server does not answer.
    pub fn get(&self, path: &str) -> Result<Value, ClusterError> {
        self.api.get(path)
    }
}

/// Lines such as `<id>    <process>    RUNNING`.
fn process(tasks: &str, id: &str) -> Option<i32> {
    let mut words =
        tasks.lines().map(str::split_whitespace).find_map(|mut words| (words.next()? == id).then_some(words))?;
    let process = words.next()?.parse().ok()?;
    (words.next()? == "RUNNING").then_some(process)
}

#[cfg(test)]
mod tests {
    use super::process;

    #[test]
    fn only_running_tasks_have_a_process() {
        let tasks = "TASK    PID      STATUS\nab      71    RUNNING\ncd      72    STOPPED\n";
        assert_eq!((process(tasks, "ab"), process(tasks, "cd"), process(tasks, "a")), (Some(71), None, None));
    }
}
