//! An application for tests that speaks HTTP/1.1 and HTTP/2 without TLS: `GET /bytes/1000000` gets so many bytes (16 MiB at most),
//! `/echo` gets its own body back, `/status/500` that status, any other request is read whole and answered with how many bytes its body had.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lab::Pod;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// What all answers are cut from, so that they cost nothing to make.
static LARGEST: OnceLock<Bytes> = OnceLock::new();

/// Serves for as long as it lives.
pub struct Origin(#[expect(dead_code, reason = "its drop ends the server")] oneshot::Sender<()>);

impl Origin {
    /// What the thread of one at this port is called.
    pub fn thread(port: u16) -> String {
        format!("origin {port}")
    }

    /// Listens in the pod.
    pub fn start(pod: &Pod, port: u16) -> std::io::Result<Self> {
        Self::at(pod, ([0, 0, 0, 0], port))
    }

    /// Listens on one address of the pod.
    pub fn at(pod: &Pod, address: impl Into<SocketAddr>) -> std::io::Result<Self> {
        let listener = pod.listen(address)?;
        listener.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(Self::thread(listener.local_addr()?.port()));
        thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the listener");
                let accepting = async {
                    loop {
                        let (stream, _) = listener.accept().await.expect("a connection");
                        tokio::spawn(serve(stream));
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
            // Connections that are open are not waited for.
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?;
        Ok(Self(stop))
    }
}

async fn serve(stream: TcpStream) {
    stream.set_nodelay(true).expect("a live socket");
    let mut first = [0; 3];
    while stream.peek(&mut first).await.is_ok_and(|n| n > 0 && n < 3) {}
    // A client that leaves early is what some tests are about.
    if &first == b"PRI" {
        let serving = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        let _ = serving.await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(count) = request.uri().path().strip_prefix("/bytes/").and_then(|count| count.parse::<usize>().ok()) {
        return Ok(Response::new(Full::new(LARGEST.get_or_init(|| vec![b'x'; 16 << 20].into()).slice(..count))));
    }
    if request.uri().path() == "/echo" {
        // A client that breaks off gets what was there: nobody reads it.
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Ok(Response::new(Full::new(body)));
    }
    if let Some(status) = request.uri().path().strip_prefix("/status/") {
        let status = status.parse::<u16>().expect("a status in a test's path");
        return Ok(Response::builder().status(status).body(Full::default()).expect("a response"));
    }
    let head = request.method() == Method::HEAD;
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    Ok(Response::new(Full::new(Bytes::from(if head { String::new() } else { format!("{bytes} bytes") }))))
}
