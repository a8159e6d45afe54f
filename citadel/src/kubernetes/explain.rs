//! An error of the API server's client in words for people: the client's own say the same twice.

use std::error::Error;

use kube::runtime::watcher;

/// What went wrong, without the layers that it went through.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            format!("the API server forbids it: {}; look at the RBAC rules of the control plane", status.message)
        }
        kube::Error::Api(status) => format!("the API server answered {}: {}", status.code, status.message),
        other => format!("the API server cannot be reached: {}", innermost(other)),
    }
}

/// The same for a watch, which goes on by itself.
pub fn explain_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => explain(error),
        watcher::Error::WatchError(status) => format!("the API server answered {}: {}", status.code, status.message),
        other @ watcher::Error::NoResourceVersion => other.to_string(),
    }
}

fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
