//! The gRPC side of SDS: both variants of Envoy's `SecretDiscoveryService` over one source.

use std::{future::Future, path::Path, pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use super::{SdsError, SecretSource, resource, socket, sotw::SotwState};
use crate::{
    Resource, ResourceType,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse},
    node::NodeInfo,
    secret_discovery::secret_discovery_service_server::{SecretDiscoveryService, SecretDiscoveryServiceServer},
    server::{Catalog, Change, Refusal, StreamState, drive},
};

/// Responses that wait for the transport.
const QUEUE: usize = 16;

/// Serves SDS on a Unix socket until `stop` is ready. The socket's file has mode 0600; a stale one is replaced.
pub async fn serve_sds<S: SecretSource>(
    path: &Path,
    source: Arc<S>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), SdsError> {
    let socket = socket::listen(path)?;
    // Removed when the server ends.
    let _file = socket.file;
    let (changed, _) = broadcast::channel(16);
    let secrets = Secrets { source: source.clone(), changed: changed.downgrade() };
    let service = SecretDiscoveryServiceServer::new(SecretService { secrets: Arc::new(secrets) });
    let server = Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(socket.listener));
    tokio::select! {
        ended = server => ended?,
        () = pass_on(&*source, &changed) => {}
        () = stop => {}
    }
    Ok(())
}

/// Tells every stream of the source's changes. Goes on for ever: a source that is gone does not change any more.
async fn pass_on<S: SecretSource>(source: &S, changed: &broadcast::Sender<Arc<Change>>) {
    let mut changes = source.changes();
    while changes.changed().await.is_ok() {
        // Fails only while nobody listens.
        drop(changed.send(Arc::new(Change { everything: true, ..Change::default() })));
    }
    std::future::pending().await
}

/// A source of secrets as a catalog with one kind of resource.
struct Secrets<S> {
    source: Arc<S>,
    /// Weak, so that the streams end with the server.
    changed: broadcast::WeakSender<Arc<Change>>,
}

impl<S: SecretSource> Catalog for Secrets<S> {
    type Client = ();

    /// Who can open the socket may have the secrets.
    fn admit(&self, _: &NodeInfo, _: Option<&str>) -> Result<Arc<()>, Refusal> {
        Ok(Arc::new(()))
    }

    fn wildcard(&self, (): &(), _: ResourceType) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn resource(&self, (): &(), kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let secret = (kind == ResourceType::Secret).then(|| self.source.secret(name))?;
        secret.map(|secret| resource(name, secret))
    }

    fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        // A stream that comes too late gets a closed channel.
        self.changed.upgrade().map_or_else(|| broadcast::channel(1).1, |changed| changed.subscribe())
    }

    fn subscribed(&self, (): &(), _: ResourceType, _: &[Arc<str>], _: &[Arc<str>]) {}

    fn acknowledged(&self, (): &(), _: ResourceType, _: &[Arc<str>]) {}

    fn rejected(&self, (): &(), _: ResourceType, names: &[Arc<str>], error: &str) {
        tracing::warn!("the data plane refused the secret {}: {error}", names.join(", "));
    }

    fn disconnected(&self, (): &()) {}
}

struct SecretService<S> {
    secrets: Arc<Secrets<S>>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<S: SecretSource> SecretDiscoveryService for SecretService<S> {
    type StreamSecretsStream = Responses<DiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let (queue, responses) = mpsc::channel(QUEUE);
        tokio::spawn(stream(self.secrets.clone(), request.into_inner(), queue));
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        let (queue, responses) = mpsc::channel(QUEUE);
        tokio::spawn(delta(self.secrets.clone(), request.into_inner(), queue));
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn fetch_secrets(&self, _: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("secrets are streamed here; set `api_type: GRPC` or `DELTA_GRPC`"))
    }
}

async fn delta<S: SecretSource>(
    secrets: Arc<Secrets<S>>,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    queue: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
) {
    let changes = secrets.changes();
    let Some(Ok(first)) = requests.next().await else { return };
    let label = first.node.as_ref().map(|node| node.id.clone()).unwrap_or_default();
    let state = StreamState::new(secrets, Arc::new(()), label, false);
    if let Err(status) = drive(state, changes, first, requests, &queue).await {
        drop(queue.try_send(Err(status)));
    }
}

async fn stream<S: SecretSource>(
    secrets: Arc<Secrets<S>>,
    mut requests: Streaming<DiscoveryRequest>,
    queue: mpsc::Sender<Result<DiscoveryResponse, Status>>,
) {
    let mut changes = secrets.changes();
    let mut state = SotwState::default();
    loop {
        tokio::select! {
            request = requests.next() => match request {
                Some(Ok(request)) => state.request(request),
                Some(Err(status)) => return drop(queue.try_send(Err(status))),
                None => return,
            },
            changed = changes.recv() => {
                if matches!(changed, Err(broadcast::error::RecvError::Closed)) {
                    return;
                }
            }
            () = queue.closed() => return,
        }
        let find = |name: &str| secrets.resource(&(), ResourceType::Secret, name);
        if let Some(response) = state.response(find)
            && queue.send(Ok(response)).await.is_err()
        {
            return;
        }
    }
}
