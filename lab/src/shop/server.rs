//! The HTTP/1.1 server of the shop's applications, with a stop that loses nothing.

use super::{Application, everywhere};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A request with its body read.
pub(super) type Ask = Request<Bytes>;
/// An answer whose body is known.
pub(super) type Answer = Response<Full<Bytes>>;

/// How long it goes on serving after it was told to stop, closing each connection with its next answer, so that callers
/// with idle connections learn of it before the door shuts.
const LEAVING: Duration = Duration::from_secs(1);

/// Serves until `stop`, then leaves in order.
pub(super) async fn serve<H, F>(
    application: Application,
    stop: impl Future<Output = ()>,
    handler: H,
) -> anyhow::Result<()>
where
    H: Fn(Ask) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send,
{
    let listener = TcpListener::bind(everywhere(application.port)).await?;
    let (leaving, watch_leaving) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    let mut until: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let answering = answer(application.clone(), handler.clone(), watch_leaving.clone());
                    connections.spawn(connection(stream, watch_leaving.clone(), answering));
                }
            }
            () = &mut stop, if until.is_none() => {
                until = Some(tokio::time::Instant::now() + LEAVING);
                leaving.send_replace(true);
            }
            () = tokio::time::sleep_until(until.unwrap_or_else(tokio::time::Instant::now)), if until.is_some() => break,
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(leaving);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// What each connection does with each request.
type Answering = std::sync::Arc<
    dyn Fn(Request<Incoming>) -> std::pin::Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>
        + Send
        + Sync,
>;

fn answer<H, F>(application: Application, handler: H, leaving: watch::Receiver<bool>) -> Answering
where
    H: Fn(Ask) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send,
{
    std::sync::Arc::new(move |request| {
        let (application, handler, leaving) = (application.clone(), handler.clone(), leaving.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut answer = match body.collect().await {
                Ok(_) if fastrand::f64() < application.fail_share => {
                    text(StatusCode::SERVICE_UNAVAILABLE, "out of order")
                }
                Ok(body) => handler(Request::from_parts(head, body.to_bytes())).await,
                Err(error) => text(StatusCode::BAD_REQUEST, &error.to_string()),
            };
            for (name, value) in [("x-version", &application.version), ("x-served-by", &application.instance)] {
                if let Ok(value) = HeaderValue::from_str(value) {
                    answer.headers_mut().insert(name, value);
                }
            }
            if *leaving.borrow() {
                answer.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        })
    })
}

/// One connection. When the last sender of `leaving` goes, an idle connection closes and a busy one after its answer.
async fn connection(stream: TcpStream, mut leaving: watch::Receiver<bool>, answering: Answering) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answering(request));
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            _ = serving.as_mut() => return,
            changed = leaving.changed() => if changed.is_err() {
                serving.as_mut().graceful_shutdown();
                let _ = serving.as_mut().await;
                return;
            }
        }
    }
}

/// An answer in plain text.
pub(super) fn text(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *answer.status_mut() = status;
    answer
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
