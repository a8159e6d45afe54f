//! `grpc`: the application's health service (grpc.health.v1) says that it serves.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::task::JoinSet;

use super::Failure;
use super::dial::Application;

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// More is no answer to this question.
const LONGEST: usize = 4096;

#[derive(Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

#[derive(Message)]
pub(super) struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

pub(super) async fn ask(application: Application, port: u16, service: &str) -> Result<StatusCode, Failure> {
    let stream = application.connect(port).await?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(no_grpc)?;
    // Ends with this probe, whatever comes of it.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let message = HealthCheckRequest { service: service.to_owned() };
    let mut request = Request::post(format!("http://{}{METHOD}", application.at(port)))
        .body(Full::new(framed(&message)))
        .map_err(no_grpc)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("kube-probe"));
    answer(sender.send_request(request).await.map_err(no_grpc)?).await
}

async fn answer(response: Response<Incoming>) -> Result<StatusCode, Failure> {
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(no_grpc(head.status));
    }
    // An answer without a message has its status among the headers.
    succeeded(&head.headers)?;
    let body = Limited::new(body, LONGEST).collect().await.map_err(no_grpc)?;
    if let Some(trailers) = body.trailers() {
        succeeded(trailers)?;
    }
    let bytes = body.to_bytes();
    let message = bytes.get(PREFIX..).unwrap_or_default();
    match HealthCheckResponse::decode(message).map_err(no_grpc)?.status() {
        ServingStatus::Serving => Ok(StatusCode::OK),
        other => Err(Failure::Unhealthy(format!("{other:?}"))),
    }
}

/// Unless a status says otherwise.
fn succeeded(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some("12") => Err(Failure::Unhealthy("that it does not implement grpc.health.v1.Health".to_owned())),
        Some(code) => {
            Err(Failure::Unhealthy(format!("gRPC status {code}, {}", text("grpc-message").unwrap_or("without a word"))))
        }
    }
}

fn no_grpc(error: impl std::fmt::Display) -> Failure {
    Failure::Protocol { expected: "gRPC", reason: error.to_string() }
}

/// A message with its prefix.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.encoded_len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    bytes.put_slice(&message.encode_to_vec());
    bytes.freeze()
}
