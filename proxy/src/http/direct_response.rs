//! Answers without an upstream: `DirectResponseAction`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

/// The answer of a route.
#[derive(Debug, Clone)]
pub struct DirectResponse {
    /// Status.
    pub status: StatusCode,
    /// Body; may be empty.
    pub body: Bytes,
}

impl DirectResponse {
    /// The answer. A body that says nothing of its type is plain text, as Envoy's local replies are.
    pub fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        if !self.body.is_empty() {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_plain_text() {
        let answer =
            DirectResponse { status: StatusCode::IM_A_TEAPOT, body: Bytes::from_static(b"short and stout") }.response();
        assert_eq!(answer.status(), 418);
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain");
        assert_eq!(answer.body().as_ref(), b"short and stout");
    }

    #[test]
    fn no_body_has_no_type() {
        let answer = DirectResponse { status: StatusCode::NO_CONTENT, body: Bytes::new() }.response();
        assert!(answer.headers().is_empty());
    }
}
