//! `ratings`: stars for a product, the shop's gRPC service `shop.Ratings`. Its two messages are small enough to write by hand.

use http::HeaderMap;
use http::uri::PathAndQuery;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

const GET: &str = "/shop.Ratings/Get";
const DEADLINE: Duration = Duration::from_secs(10);

/// Which product.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Product {
    #[prost(uint32, tag = "1")]
    pub number: u32,
}

/// Its stars, one to five, and the version that gave them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Rating {
    #[prost(uint32, tag = "1")]
    pub stars: u32,
    #[prost(string, tag = "2")]
    pub version: String,
}

/// The client.
#[derive(Debug, Clone)]
pub(super) struct Ratings {
    channel: Channel,
}

impl Ratings {
    /// Connects with the first call and again whenever needed.
    pub fn new(authority: &str) -> anyhow::Result<Ratings> {
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))?.timeout(DEADLINE);
        Ok(Ratings { channel: endpoint.connect_lazy() })
    }

    pub async fn get(&self, number: u32, cause: &HeaderMap) -> Result<Rating, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(Product { number });
        let trace = cause.get("traceparent").and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
        if let Some(trace) = trace {
            request.metadata_mut().insert("traceparent", trace);
        }
        let codec = ProstCodec::<Product, Rating>::default();
        Ok(client.unary(request, PathAndQuery::from_static(GET), codec).await?.into_inner())
    }
}

/// Serves until `stop`, then finishes what is in flight.
pub(super) async fn serve(address: SocketAddr, version: String, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let incoming = TcpListenerStream::new(listener);
    Server::builder().add_service(Stars { version }).serve_with_incoming_shutdown(incoming, stop).await?;
    Ok(())
}

/// The server.
#[derive(Clone)]
struct Stars {
    version: String,
}

impl tonic::server::NamedService for Stars {
    const NAME: &'static str = "shop.Ratings";
}

impl Service<Request<Product>> for Stars {
    type Response = Response<Rating>;
    type Error = Status;
    type Future = Ready<Result<Response<Rating>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Product>) -> Self::Future {
        let stars = request.into_inner().number % 5 + 1;
        ready(Ok(Response::new(Rating { stars, version: self.version.clone() })))
    }
}

impl Service<http::Request<Body>> for Stars {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let stars = self.clone();
        Box::pin(async move {
            if request.uri().path() != GET {
                return Ok(Status::unimplemented("shop.Ratings has the method Get alone").into_http());
            }
            let codec = ProstCodec::<Rating, Product>::default();
            Ok(tonic::server::Grpc::new(codec).unary(stars, request).await)
        })
    }
}
