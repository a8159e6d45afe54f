//! SDS over its Unix socket, as Envoy would use it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::{SdsError, Secret, SecretSource, serve_sds};
use crate::{
    ResourceType,
    core::data_source::Specifier,
    discovery::{DeltaDiscoveryRequest, DiscoveryRequest},
    google::Any,
    secret_discovery::secret_discovery_service_client::SecretDiscoveryServiceClient,
    tls, unpack,
};

struct Keys {
    chain: Mutex<Option<String>>,
    changed: watch::Sender<()>,
}

impl Keys {
    fn new() -> Arc<Self> {
        Arc::new(Self { chain: Mutex::new(None), changed: watch::Sender::new(()) })
    }

    fn rotate(&self, chain: &str) {
        *self.chain.lock().unwrap() = Some(chain.to_owned());
        self.changed.send_replace(());
    }
}

impl SecretSource for Keys {
    type Change = ();

    fn secret(&self, name: &str) -> Option<Secret> {
        match name {
            "default" => {
                let chain = self.chain.lock().unwrap().clone()?;
                Some(Secret::KeyPair { key: format!("key of {chain}"), chain })
            }
            "ROOTCA" => Some(Secret::Roots("roots".into())),
            _ => None,
        }
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), SdsError>>,
}

fn serve(path: &Path, keys: &Arc<Keys>) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let (path, keys) = (path.to_owned(), keys.clone());
    let task = tokio::spawn(async move { serve_sds(&path, keys, async { drop(stopped.await) }).await });
    Running { stop, task }
}

/// Connects as soon as the server listens.
async fn client(path: &Path) -> SecretDiscoveryServiceClient<Channel> {
    let path: PathBuf = path.to_owned();
    let connect = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
    });
    loop {
        let channel = Endpoint::from_static("http://sds").connect_with_connector(connect.clone()).await;
        match channel {
            Ok(channel) => return SecretDiscoveryServiceClient::new(channel),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("an answer within 20 s")
}

fn chain_and_key(any: &Any) -> (String, String) {
    let Some(tls::secret::Type::TlsCertificate(pair)) = unpack::<tls::Secret>(any).unwrap().r#type else {
        panic!("a key pair was asked for")
    };
    let text = |source: Option<crate::core::DataSource>| match source.unwrap().specifier {
        Some(Specifier::InlineBytes(bytes)) => String::from_utf8(bytes).unwrap(),
        _ => panic!("the content is inline"),
    };
    (text(pair.certificate_chain), text(pair.private_key))
}

#[tokio::test]
async fn state_of_the_world_waits_for_the_first_key_and_follows_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sds");
    let keys = Keys::new();
    let running = serve(&path, &keys);
    let (requests, outgoing) = mpsc::unbounded_channel();
    let ask = |nonce: &str| DiscoveryRequest {
        resource_names: vec!["default".into()],
        type_url: ResourceType::Secret.type_url().into(),
        response_nonce: nonce.into(),
        ..DiscoveryRequest::default()
    };
    requests.send(ask("")).unwrap();
    let mut client = client(&path).await;
    let mut responses = client.stream_secrets(UnboundedReceiverStream::new(outgoing)).await.unwrap().into_inner();
    for chain in ["one", "two"] {
        keys.rotate(chain);
        let response = soon(responses.message()).await.unwrap().unwrap();
        assert_eq!(chain_and_key(&response.resources[0]), (chain.to_owned(), format!("key of {chain}")));
        requests.send(ask(&response.nonce)).unwrap();
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(running.stop);
    soon(running.task).await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn delta_needs_no_node_and_follows_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sds");
    let keys = Keys::new();
    keys.rotate("one");
    let _running = serve(&path, &keys);
    let (requests, outgoing) = mpsc::unbounded_channel();
    let request = || DeltaDiscoveryRequest { type_url: ResourceType::Secret.type_url().into(), ..Default::default() };
    let first =
        DeltaDiscoveryRequest { resource_names_subscribe: vec!["default".into(), "unknown".into()], ..request() };
    requests.send(first).unwrap();
    let mut client = client(&path).await;
    let mut responses = client.delta_secrets(UnboundedReceiverStream::new(outgoing)).await.unwrap().into_inner();
    let response = soon(responses.message()).await.unwrap().unwrap();
    assert_eq!(response.removed_resources, ["unknown"]);
    assert_eq!(chain_and_key(response.resources[0].resource.as_ref().unwrap()).0, "one");
    requests.send(DeltaDiscoveryRequest { response_nonce: response.nonce, ..request() }).unwrap();
    keys.rotate("two");
    let response = soon(responses.message()).await.unwrap().unwrap();
    assert_eq!(chain_and_key(response.resources[0].resource.as_ref().unwrap()).0, "two");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_and_a_file_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sds");
    // Closing a listener leaves its file: what a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let keys = Keys::new();
    let running = serve(&path, &keys);
    drop(client(&path).await);
    let second = serve_sds(&path, keys.clone(), std::future::pending()).await.unwrap_err();
    assert!(matches!(second, SdsError::InUse(_)), "{second}");
    assert!(path.exists());
    drop(running.stop);
    soon(running.task).await.unwrap().unwrap();

    std::fs::write(&path, "precious").unwrap();
    let third = serve_sds(&path, keys, std::future::pending()).await.unwrap_err();
    assert!(matches!(third, SdsError::NotASocket(_)), "{third}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_secret_does_not_show_its_content() {
    let secret = Secret::KeyPair { chain: "chain".into(), key: "private".into() };
    assert!(!format!("{secret:?}").contains("private"));
    assert!(!format!("{:?}", super::resource("default", secret)).contains("private"));
}
