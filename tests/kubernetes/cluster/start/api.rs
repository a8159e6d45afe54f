//! A client of the API server for code that is not asynchronous: `kubectl` takes a tenth of a second to start.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig as File};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::{ClusterError, Kubeconfig};

/// Its runtime lives on a thread of its own and ends with it.
#[derive(Debug)]
pub struct Api {
    client: ClientHandle,
    runtime: Handle,
    _alive: oneshot::Sender<()>,
}

/// The client, which cannot be printed.
struct ClientHandle(Client);

impl std::fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Api {
    pub fn new(kubeconfig: &Kubeconfig) -> Result<Api, ClusterError> {
        let failed = |error: &dyn std::fmt::Display| ClusterError::Client(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        let started = std::thread::Builder::new().name("api".to_owned()).spawn(move || runtime.block_on(ended));
        started.map_err(|error| failed(&error))?;
        let file = File::from_yaml(&kubeconfig.text()).map_err(|error| failed(&error))?;
        let client = handle.block_on(async {
            let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| failed(&error))?;
            config.connect_timeout = Some(Duration::from_secs(2));
            config.read_timeout = Some(Duration::from_secs(20));
            Client::try_from(config).map_err(|error| failed(&error))
        })?;
        Ok(Api { client: ClientHandle(client), runtime: handle, _alive: alive })
    }

    pub fn client(&self) -> Client {
        self.client.0.clone()
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn is_ready(&self) -> bool {
        let request = http_get("/readyz");
        request.is_some_and(|request| self.block_on(self.client.0.request_text(request)).is_ok_and(|text| text == "ok"))
    }

    pub fn get(&self, path: &str) -> Result<Value, ClusterError> {
        self.send("GET", path, Vec::new())
    }

    pub fn create(&self, path: &str, object: &Value) -> Result<Value, ClusterError> {
        self.send("POST", path, object.to_string().into_bytes())
    }

    fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Value, ClusterError> {
        let what = format!("{method} {path}");
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(body).map_err(|error| ClusterError::Client(format!("{what}: {error}")))?;
        self.block_on(self.client.0.request(request)).map_err(ClusterError::api(what))
    }
}

fn http_get(path: &str) -> Option<http::Request<Vec<u8>>> {
    http::Request::get(path).body(Vec::new()).ok()
}
