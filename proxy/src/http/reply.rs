//! Answers that the proxy writes itself: status, response flags and details as Envoy has them, and a text that says why.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use record::ResponseFlags;

use super::grpc;

/// On an answer of a sidecar to another: the application has not seen a byte of the request, so that any try elsewhere
/// is safe. Believed only from an authenticated peer and never passed on.
pub const NOT_PROCESSED: HeaderName = HeaderName::from_static("x-meltemi-not-processed");

/// An answer of the proxy.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// For metrics and the access log.
    pub flags: ResponseFlags,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Cow<'static, str>,
    /// What the client reads.
    pub text: Cow<'static, str>,
    /// No byte of the request reached an upstream.
    pub not_processed: bool,
    /// The status for gRPC clients, where it is not the one that the HTTP status maps to.
    pub grpc_status: Option<u16>,
}

impl Reply {
    /// With Envoy's details and a text.
    pub fn new(
        status: StatusCode,
        flags: ResponseFlags,
        details: impl Into<Cow<'static, str>>,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, flags, details: details.into(), text: text.into(), not_processed: false, grpc_status: None }
    }

    /// The request went nowhere.
    pub fn untouched(mut self) -> Self {
        self.not_processed = true;
        self
    }

    /// As a response, for a gRPC client as one that its library understands.
    pub fn into_response(self, to_grpc: bool) -> Response<Bytes> {
        let mut response = if to_grpc {
            let status = self.grpc_status.unwrap_or_else(|| grpc::http_to_grpc(self.status));
            grpc::error_reply(status, &self.text).map(|()| Bytes::new())
        } else {
            self.plain()
        };
        if self.not_processed {
            response.headers_mut().insert(NOT_PROCESSED, HeaderValue::from_static("1"));
        }
        response
    }

    fn plain(&self) -> Response<Bytes> {
        let body = Bytes::from(self.text.clone().into_owned());
        let empty = body.is_empty();
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        if !empty {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        response
    }
}
