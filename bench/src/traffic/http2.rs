//! HTTP/2 without TLS, straight on the `h2` crate: POSTs, gRPC calls and gRPC streams, several at a time on each connection.

use super::meter::Meter;
use super::pace::Turns;
use super::{Kind, LoadArgs, PATIENCE, PAUSE};
use bytes::Bytes;
use futures::future::join_all;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A day: a stream that is open this long was not cut by us.
const STREAM_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Large enough never to be what is measured.
const WINDOW: u32 = 4 << 20;
/// Before each gRPC message: not compressed, then its length.
const PREFIX: usize = 5;

/// One connection with all that is sent over it, opened again when it breaks.
pub async fn connection(args: Rc<LoadArgs>, mut lanes: Vec<Turns>, meter: Rc<Meter>) {
    loop {
        match open(&args).await {
            Ok(sender) => {
                let streams = lanes.iter_mut().map(|turns| exchanges(&args, sender.clone(), turns, &meter));
                join_all(streams).await;
            }
            Err(why) => meter.failed(&why),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn open(args: &LoadArgs) -> Result<SendRequest<Bytes>, String> {
    let stream = TcpStream::connect(args.target).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(2 * WINDOW).enable_push(false);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| format!("handshake: {error}"))?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// One after the other until the first that fails.
async fn exchanges(args: &LoadArgs, mut sender: SendRequest<Bytes>, turns: &mut Turns, meter: &Meter) {
    loop {
        let planned = turns.next().await;
        let (exchanged, patience) = match args.kind {
            Kind::GrpcStream => (timeout(STREAM_LIFE, stream(args, &mut sender, meter)).await, STREAM_LIFE),
            _ => (timeout(PATIENCE, exchange(args, &mut sender)).await, PATIENCE),
        };
        match exchanged.unwrap_or_else(|_| Err(format!("no answer within {patience:?}"))) {
            Ok(()) => meter.done(2 * args.body, planned),
            Err(why) => return meter.failed(&why),
        }
    }
}

async fn exchange(args: &LoadArgs, sender: &mut SendRequest<Bytes>) -> Result<(), String> {
    let grpc = args.kind == Kind::Grpc;
    let sent = if grpc { message(args.body) } else { Bytes::from(vec![b'x'; args.body]) };
    let expected = sent.len();
    futures::future::poll_fn(|context| sender.poll_ready(context)).await.map_err(|error| format!("ready: {error}"))?;
    let (response, mut body) =
        sender.send_request(request(args)?, false).map_err(|error| format!("send the head: {error}"))?;
    body.send_data(sent, true).map_err(|error| format!("send the body: {error}"))?;
    let mut answer = accepted(response.await.map_err(|error| format!("no answer: {error}"))?)?;
    let mut received = 0;
    while let Some(data) = answer.data().await {
        received += taken(&mut answer, data)?.len();
    }
    let trailers = answer.trailers().await.map_err(|error| format!("trailers: {error}"))?;
    if received != expected {
        return Err(format!("a body of {received} bytes came where {expected} were asked for"));
    }
    if grpc { status(trailers) } else { Ok(()) }
}

/// A stream that lives as long as the load: a message, its echo, the next.
async fn stream(args: &LoadArgs, sender: &mut SendRequest<Bytes>, meter: &Meter) -> Result<(), String> {
    let message = message(args.body);
    futures::future::poll_fn(|context| sender.poll_ready(context)).await.map_err(|error| format!("ready: {error}"))?;
    let (response, mut body) =
        sender.send_request(request(args)?, false).map_err(|error| format!("send the head: {error}"))?;
    body.send_data(message.clone(), false).map_err(|error| format!("send a message: {error}"))?;
    let mut answer = accepted(response.await.map_err(|error| format!("no answer: {error}"))?)?;
    let mut missing = message.len();
    while let Some(data) = answer.data().await {
        let data = taken(&mut answer, data)?;
        missing = missing.checked_sub(data.len()).ok_or("more came back than was sent")?;
        if missing == 0 {
            meter.done(2 * args.body, None);
            body.send_data(message.clone(), false).map_err(|error| format!("send a message: {error}"))?;
            missing = message.len();
        }
    }
    Err("the stream was cut".to_owned())
}

fn request(args: &LoadArgs) -> Result<Request<()>, String> {
    let path = match args.kind {
        Kind::Grpc => "bench.Echo/Unary".to_owned(),
        Kind::GrpcStream => "bench.Echo/Stream".to_owned(),
        _ => args.body.to_string(),
    };
    let request = Request::post(format!("http://{}/{path}", args.authority)).header("user-agent", "bench");
    let request = match args.kind {
        Kind::Grpc | Kind::GrpcStream => request.header("content-type", "application/grpc").header("te", "trailers"),
        _ => request.header("content-type", "application/octet-stream").header("content-length", args.body),
    };
    request.body(()).map_err(|error| error.to_string())
}

fn accepted(response: Response<RecvStream>) -> Result<RecvStream, String> {
    match response.status().as_u16() {
        200 => Ok(response.into_body()),
        other => Err(format!("answered with {other} {:?}", response.headers())),
    }
}

fn taken(answer: &mut RecvStream, data: Result<Bytes, h2::Error>) -> Result<Bytes, String> {
    let data = data.map_err(|error| format!("the answer broke off: {error}"))?;
    answer.flow_control().release_capacity(data.len()).map_err(|error| error.to_string())?;
    Ok(data)
}

fn status(trailers: Option<HeaderMap>) -> Result<(), String> {
    let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    if status.is_some_and(|status| status == "0") { Ok(()) } else { Err(format!("grpc-status {status:?}")) }
}

fn message(length: usize) -> Bytes {
    let mut bytes = vec![b'x'; PREFIX + length];
    bytes[0] = 0;
    bytes[1..PREFIX].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    Bytes::from(bytes)
}
