//! Changes by the API server itself: quicker than kubectl, and timed without it.

use cluster::Cluster;
use http::Request;
use serde_json::Value;

/// Changes an object by a merge patch (RFC 7386), as rollout tools do.
pub fn merge(cluster: &Cluster, path: &str, patch: &Value) -> Result<Value, String> {
    send(cluster, "PATCH", path, "application/merge-patch+json", patch)
}

/// Creates an object in the list at `path`.
pub fn create(cluster: &Cluster, path: &str, object: &Value) -> Result<Value, String> {
    send(cluster, "POST", path, "application/json", object)
}

/// Deletes all objects of a list.
pub fn delete_all(cluster: &Cluster, path: &str) -> Result<Value, String> {
    send(cluster, "DELETE", path, "application/json", &Value::Object(serde_json::Map::new()))
}

/// Creates many, so many at a time; returns what failed.
pub fn create_all(cluster: &Cluster, path: &str, objects: &[Value], at_once: usize) -> Vec<String> {
    let client = cluster.client();
    cluster.block_on(async {
        let mut failures = Vec::new();
        let mut under_way = tokio::task::JoinSet::new();
        for object in objects {
            if under_way.len() >= at_once {
                failures.extend(under_way.join_next().await.and_then(outcome));
            }
            let (client, request) = (client.clone(), request("POST", path, "application/json", object));
            under_way.spawn(async move {
                let request = request?;
                client.request::<Value>(request).await.map(drop).map_err(|error| error.to_string())
            });
        }
        while let Some(ended) = under_way.join_next().await {
            failures.extend(outcome(ended));
        }
        failures
    })
}

fn outcome(ended: Result<Result<(), String>, tokio::task::JoinError>) -> Option<String> {
    ended.map_err(|error| error.to_string()).and_then(|sent| sent).err()
}

fn send(cluster: &Cluster, method: &str, path: &str, content: &str, body: &Value) -> Result<Value, String> {
    let request = request(method, path, content, body)?;
    cluster.block_on(cluster.client().request(request)).map_err(|error| format!("{method} {path}: {error}"))
}

fn request(method: &str, path: &str, content: &str, body: &Value) -> Result<Request<Vec<u8>>, String> {
    let request = Request::builder().method(method).uri(path).header("content-type", content);
    request.body(body.to_string().into_bytes()).map_err(|error| format!("{method} {path}: {error}"))
}
