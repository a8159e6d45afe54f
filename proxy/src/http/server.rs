//! Serves one downstream HTTP connection, HTTP/1 or HTTP/2, until it ends or the proxy drains.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::head_guard::{HeadGuard, SharedStage, Stage};
use super::http2;
use super::response_body::{ResponseBody, ResponseBodyError};
use crate::handover::Phase;
use crate::inbound;
use crate::io::Io;
use crate::worker::{Connection, Direction, Worker};

/// How often a connection of a chain that is gone looks whether it is still allowed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What a connection that is no longer allowed gets to finish its request.
pub(super) const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// Serves until the connection ends.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, io: Io) {
    let ended = if connection.http2 {
        http2::serve(&worker, &connection, io).await
    } else {
        serve_http1(&worker, &connection, io).await
    };
    if let Err(reason) = ended {
        worker.handover.stats.invalid_requests.with(&[reason]).inc();
    }
}

async fn serve_http1(worker: &Rc<Worker>, connection: &Rc<Connection>, io: Io) -> Result<(), &'static str> {
    let settings = &connection.settings;
    let stage = SharedStage::default();
    let guard = HeadGuard::new(io, stage.clone(), settings.head_timeout, settings.idle_timeout);
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, connection, stage) = (worker.clone(), connection.clone(), stage.clone());
        async move {
            stage.set(Stage::Busy);
            let response = super::serve(worker, connection, request).await;
            let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            Ok::<_, std::convert::Infallible>(response.map(|body| Watched { body, stage, switched }))
        }
    });
    let serving = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(settings.max_headers)
        .max_buf_size(settings.max_head_bytes.max(8192))
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(guard), service)
        .with_upgrades();
    let mut phase = worker.handover.phase.clone();
    tokio::select! {
        served = serving => served.map_err(|error| why(&error, stage.get())),
        () = refused_by_now(worker, connection) => Ok(()),
        _ = phase.wait_for(|phase| *phase >= Phase::Stopping) => Ok(()),
    }
}

/// Returns a moment after a newer configuration has replaced the connection's filter chain by none that would take
/// it: plaintext under STRICT. Otherwise its next answer asks the client to connect anew, and nothing is cut.
pub(super) async fn refused_by_now(worker: &Worker, connection: &Connection) {
    connection.chain.retired.wait().await;
    while connection.direction == Direction::Outbound
        || inbound::would_admit(worker, connection.original_dst, &connection.chain)
    {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    tokio::time::sleep(LAST_MOMENTS).await;
}

/// The name under which the end of a connection is counted.
fn why(error: &hyper::Error, stage: Stage) -> &'static str {
    tracing::debug!(%error, "a downstream HTTP connection ended early");
    match stage {
        Stage::TimedOut => "timeout",
        _ if error.is_parse_too_large() => "head_too_large",
        _ if error.is_parse() => "malformed",
        _ if error.is_incomplete_message() => "incomplete",
        _ => "connection_error",
    }
}

/// Tells the head guard when a response is over.
struct Watched {
    body: ResponseBody,
    stage: SharedStage,
    /// What follows is no HTTP, and has other silences.
    switched: bool,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.switched {
            self.stage.set(Stage::Idle(Instant::now()));
        }
    }
}
