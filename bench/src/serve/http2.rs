//! HTTP/2 without TLS: answers a POST with as many bytes as its path asks for, and gRPC calls and streams with their own messages.

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;

/// Large enough never to be what is measured.
const WINDOW: u32 = 4 << 20;

/// Serves one connection until it ends.
pub async fn serve(stream: TcpStream) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(2 * WINDOW);
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        // A stream that breaks is a failure that its client sees and counts.
        tokio::task::spawn_local(async move {
            let _ = answer(request, respond).await;
        });
    }
}

async fn answer(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/bench.Echo/Unary" => unary(body, respond).await,
        "/bench.Echo/Stream" => stream(body, respond).await,
        path => post(path.trim_start_matches('/').parse().unwrap_or(0), body, respond).await,
    }
}

async fn post(wanted: usize, mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    while next(&mut body).await?.is_some() {}
    let mut response = head("application/octet-stream");
    response.headers_mut().insert("content-length", HeaderValue::from(wanted));
    let mut sending = respond.send_response(response, wanted == 0)?;
    if wanted > 0 {
        sending.send_data(Bytes::from(vec![b'y'; wanted]), true)?;
    }
    Ok(())
}

async fn unary(mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut message = BytesMut::new();
    while let Some(data) = next(&mut body).await? {
        message.extend_from_slice(&data);
    }
    let mut sending = respond.send_response(head("application/grpc"), false)?;
    sending.send_data(message.freeze(), false)?;
    sending.send_trailers(ok())
}

async fn stream(mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut sending = respond.send_response(head("application/grpc"), false)?;
    while let Some(data) = next(&mut body).await? {
        sending.send_data(data, false)?;
    }
    sending.send_trailers(ok())
}

async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(data) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(data.len())?;
    Ok(Some(data))
}

fn head(content_type: &'static str) -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}
