//! The HTTP/1.1 client of the shop's applications: a handful of kept connections to one place.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;

/// What is passed on from a request to those that it causes: W3C trace context, and the shop's own `user`.
const PASSED_ON: [&str; 5] = ["traceparent", "tracestate", "baggage", "x-request-id", "user"];
/// More than these are closed instead of kept.
const KEPT: usize = 64;

/// Calls one authority, `host` or `host:port`.
#[derive(Debug, Clone)]
pub(super) struct Client {
    authority: Arc<str>,
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
}

impl Client {
    pub fn new(authority: &str) -> Client {
        Client { authority: authority.into(), idle: Arc::default() }
    }

    /// A request to this place that carries what must be passed on from `cause`.
    pub fn request(&self, method: &str, path: &str, cause: &HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.parse().unwrap_or_default();
        *request.uri_mut() = path.parse().unwrap_or_default();
        for name in PASSED_ON {
            if let Some(value) = cause.get(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request
    }

    /// Sends it, on a kept connection if there is one, and reads the whole answer.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Response<Bytes>> {
        let authority = HeaderValue::from_str(&self.authority)?;
        request.headers_mut().entry(http::header::HOST).or_insert(authority);
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let fresh = kept.is_none();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.open().await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => return self.read(sender, response).await,
                // A kept connection that had closed gives the request back unsent: it may go again.
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(refused.into_error().into()),
                },
            }
        }
    }

    /// Sends it on a connection of its own.
    pub async fn send_alone(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Bytes>> {
        let mut request = request;
        request.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        Client::new(&self.authority).send(request).await
    }

    async fn open(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let address =
            if self.authority.contains(':') { self.authority.to_string() } else { format!("{}:80", self.authority) };
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn read(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        response: Response<hyper::body::Incoming>,
    ) -> anyhow::Result<Response<Bytes>> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        if sender.ready().await.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(sender);
            }
        }
        Ok(Response::from_parts(head, body))
    }
}
