//! Why a pod does not start, in words of what to do: the same for `install`, its proof and `check`.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// What keeps a pod from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong, with the pod's name.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// It does not go away by waiting.
    pub lasting: bool,
}

/// The first trouble of a pod, if it says one.
pub fn of(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    containers.filter_map(|container| of_container(pod, container)).next().or_else(|| unscheduled(pod))
}

fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<Trouble> {
    let name = place(pod);
    let trouble = |what: String, remedy: String, lasting| Some(Trouble { what, remedy, lasting });
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = waiting.message.as_deref().unwrap_or_default();
        let what = format!("container {} of {name}: {reason}: {message}", container.name);
        return match reason {
            // The first refusal may be a registry's bad moment; the kubelet waits before it tries again.
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => trouble(
                what,
                format!(
                    "make the image {} available to the node, or name another with --set image.repository=…,image.tag=… \
                     (and initImage.…)",
                    container.image
                ),
                reason != "ErrImagePull",
            ),
            "CrashLoopBackOff" => trouble(what, logs(pod, container), true),
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                trouble(what, format!("see `kubectl describe pod {name}`", name = flags(pod)), false)
            }
            _ => None,
        };
    }
    let failed = state.terminated.as_ref().filter(|end| end.exit_code != 0)?;
    let what = format!("container {} of {name} ended with status {}", container.name, failed.exit_code);
    trouble(what, logs(pod, container), false)
}

fn unscheduled(pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(Trouble {
        what: format!("no node takes {}: {}", place(pod), condition.message.as_deref().unwrap_or_default()),
        remedy: "make room on a node, or ask for less with --set resources.requests…".to_owned(),
        lasting: false,
    })
}

fn logs(pod: &Pod, container: &ContainerStatus) -> String {
    format!("see `kubectl logs {} --container {} --previous`", flags(pod), container.name)
}

fn place(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", pod.metadata.name.as_deref().unwrap_or_default())
}

fn flags(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    format!("--namespace {namespace} {}", pod.metadata.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::of;
    use serde_json::{Value, json};

    fn pod(status: Value) -> k8s_openapi::api::core::v1::Pod {
        serde_json::from_value(json!({ "metadata": { "namespace": "shop", "name": "a-1" }, "status": status })).unwrap()
    }

    fn waiting(reason: &str) -> Value {
        json!({ "initContainerStatuses": [{
            "name": "istio-proxy", "image": "x/y:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": reason, "message": "because" } } }] })
    }

    #[test]
    fn an_image_that_is_not_there_is_named() {
        let trouble = of(&pod(waiting("ImagePullBackOff"))).unwrap();
        assert_eq!(trouble.what, "container istio-proxy of shop/a-1: ImagePullBackOff: because");
        assert!(trouble.remedy.contains("x/y:1") && trouble.lasting, "{trouble:?}");
    }

    #[test]
    fn a_pod_that_is_starting_is_no_trouble() {
        assert_eq!(of(&pod(waiting("PodInitializing"))), None);
        assert_eq!(of(&pod(json!({ "phase": "Pending" }))), None);
    }

    #[test]
    fn a_pod_that_fits_nowhere_says_why() {
        let condition = json!({ "type": "PodScheduled", "status": "False", "message": "0/1 nodes: too small" });
        let trouble = of(&pod(json!({ "conditions": [condition] }))).unwrap();
        assert_eq!(trouble.what, "no node takes shop/a-1: 0/1 nodes: too small");
    }
}
