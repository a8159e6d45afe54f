//! The gRPC side of the server: streams in, streams out, one task for each client.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Catalog, Change, Refusal, stream::StreamState};
use crate::{
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
    },
    log_limit::LogLimit,
    node::{NodeInfo, USER_AGENT},
};

/// How long a client may take to say who it is.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// The largest request that is read, in bytes.
const MAX_REQUEST: usize = 4 << 20;

/// Responses that wait for the transport. A client has at most one unanswered response of each kind, so that only
/// one that acknowledges what it has not read fills this.
const QUEUE: usize = 16;

/// Envoy's `AggregatedDiscoveryService` over a catalog: the delta variant.
pub struct AdsServer<C: Catalog> {
    catalog: Arc<C>,
    peer: fn(&http::Extensions) -> Option<String>,
}

impl<C: Catalog> AdsServer<C> {
    /// `peer` finds the SPIFFE URI that the client's certificate proved among the connection's extensions.
    pub fn new(catalog: Arc<C>, peer: fn(&http::Extensions) -> Option<String>) -> Self {
        Self { catalog, peer }
    }

    /// The service for a tonic server, with the limits that belong to it.
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl<C: Catalog> AggregatedDiscoveryService for AdsServer<C> {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented(
            "this control plane speaks delta xDS only; set `api_type: DELTA_GRPC` in the data plane's ads_config",
        ))
    }

    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let peer = (self.peer)(request.extensions());
        let (responses, queue) = mpsc::channel(QUEUE);
        tokio::spawn(serve(self.catalog.clone(), peer, request.into_inner(), responses));
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

type Queue = mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>;

/// Serves one client from its first request to its end.
async fn serve<C: Catalog>(
    catalog: Arc<C>,
    peer: Option<String>,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    queue: Queue,
) {
    let ended = async {
        let first = first_request(&mut requests).await?;
        let node = first.node.as_ref().ok_or_else(|| Status::invalid_argument("the first request has no node"))?;
        let node = NodeInfo::from_envoy(node).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let client = catalog.admit(&node, peer.as_deref()).map_err(|refusal| {
            log_refusal(&node, peer.as_deref(), &refusal);
            status(&refusal)
        })?;
        let _disconnected = Disconnected { catalog: &*catalog, client: client.clone() };
        let warms_clusters = node.user_agent != USER_AGENT;
        let state = StreamState::new(catalog.clone(), client, node.id(), warms_clusters);
        drive(state, catalog.changes(), first, requests, &queue).await
    };
    if let Err(status) = ended.await {
        // A full queue belongs to a client that does not read; it will not read this either.
        drop(queue.try_send(Err(status)));
    }
}

/// Tells the catalog that a client is gone, however its stream ends.
struct Disconnected<'a, C: Catalog> {
    catalog: &'a C,
    client: Arc<C::Client>,
}

impl<C: Catalog> Drop for Disconnected<'_, C> {
    fn drop(&mut self) {
        self.catalog.disconnected(&self.client);
    }
}

async fn first_request(requests: &mut Streaming<DeltaDiscoveryRequest>) -> Result<DeltaDiscoveryRequest, Status> {
    let first = tokio::time::timeout(FIRST_REQUEST_WITHIN, requests.message()).await.map_err(|_| {
        Status::deadline_exceeded(format!(
            "no request within {} s of opening the stream",
            FIRST_REQUEST_WITHIN.as_secs()
        ))
    })??;
    first.ok_or_else(|| Status::invalid_argument("the stream ended before its first request"))
}

fn log_refusal(node: &NodeInfo, peer: Option<&str>, refusal: &Refusal) {
    static LIMIT: LogLimit = LogLimit::new();
    if let Some(left_out) = LIMIT.allow() {
        let peer = peer.unwrap_or("no certificate");
        tracing::warn!(node = %node.id(), peer, left_out, "refused a data plane: {refusal}");
    }
}

fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::PermissionDenied(text) => Status::permission_denied(text),
        Refusal::InvalidArgument(text) => Status::invalid_argument(text),
    }
}

/// Runs an admitted client's stream until it ends: `Ok` if the client went away.
pub(crate) async fn drive<C: Catalog>(
    mut state: StreamState<C>,
    mut changes: broadcast::Receiver<Arc<Change>>,
    first: DeltaDiscoveryRequest,
    mut requests: impl Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Unpin,
    queue: &Queue,
) -> Result<(), Status> {
    let mut request = Some(first);
    loop {
        if let Some(request) = request.take() {
            state.request(request);
        }
        for response in state.responses() {
            queue.try_send(Ok(response)).map_err(|_| {
                Status::resource_exhausted("the client acknowledges responses that it has not read, or is gone")
            })?;
        }
        tokio::select! {
            next = requests.next() => match next {
                Some(Ok(next)) => request = Some(next),
                Some(Err(status)) => return Err(status),
                None => return Ok(()),
            },
            change = changes.recv() => {
                if !take_changes(&mut state, change, &mut changes) {
                    return Err(Status::unavailable("the control plane is shutting down"));
                }
            }
            () = queue.closed() => return Ok(()),
        }
    }
}

/// Takes a change and all that came with it, so that they are sent as one; `false` if there will be no more.
fn take_changes<C: Catalog>(
    state: &mut StreamState<C>,
    first: Result<Arc<Change>, RecvError>,
    changes: &mut broadcast::Receiver<Arc<Change>>,
) -> bool {
    let everything = || Arc::new(Change { everything: true, ..Change::default() });
    let mut next = match first {
        Ok(change) => change,
        Err(RecvError::Lagged(_)) => everything(),
        Err(RecvError::Closed) => return false,
    };
    loop {
        state.changed(&next);
        next = match changes.try_recv() {
            Ok(change) => change,
            Err(broadcast::error::TryRecvError::Lagged(_)) => everything(),
            Err(_) => return true,
        };
    }
}
