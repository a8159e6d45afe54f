//! `AdmissionReview` of `admission.k8s.io/v1`: what the API server asks, and what it is answered. Objects stay JSON, so
//! that nothing of them is lost.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use json_patch::Patch;
use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};

const API_VERSION: &str = "admission.k8s.io/v1";
/// Characters of one warning, and of all together; the API server cuts what is longer.
const WARNING: usize = 250;
const WARNINGS: usize = 4000;

/// What the API server asks.
#[derive(Debug)]
pub(super) struct Review {
    pub(super) request: AdmissionRequest,
}

/// `request` of a review, as far as it is needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdmissionRequest {
    pub(super) uid: String,
    #[serde(default)]
    pub(super) resource: Resource,
    #[serde(default)]
    pub(super) sub_resource: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) operation: String,
    #[serde(default)]
    pub(super) object: Value,
    #[serde(default)]
    pub(super) old_object: Value,
}

/// Which list the object belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<AdmissionRequest>,
}

/// Why there is no review to answer.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    message: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The API server repeats a plain text to its own client.
        (self.status, self.message + "\n").into_response()
    }
}

/// Refuses what is no JSON by its own word.
pub(super) fn check_head(headers: &HeaderMap) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("content type {found:?} is not taken; send application/json");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

impl Review {
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let envelope: Envelope = serde_json::from_slice(body)
            .map_err(|error| Problem::bad(format!("the body is no AdmissionReview: {error}")))?;
        let Envelope { api_version, kind, request } = envelope;
        if (api_version.as_str(), kind.as_str()) != (API_VERSION, "AdmissionReview") {
            let found = format!("{api_version:?} {kind:?}");
            return Err(Problem::bad(format!("the body is {found}, not {API_VERSION:?} \"AdmissionReview\"")));
        }
        let request = request.ok_or_else(|| Problem::bad("the AdmissionReview has no request"))?;
        if request.uid.is_empty() {
            return Err(Problem::bad("the AdmissionReview's request has no uid"));
        }
        Ok(Self { request })
    }
}

/// What the API server is answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Why the object is refused; it is taken without.
    pub(super) refused: Option<String>,
    /// Printed to whoever sent the object, refused or not.
    pub(super) warnings: Vec<String>,
    /// What changes.
    pub(super) patch: Option<Patch>,
}

impl Answer {
    pub(super) fn into_body(self, uid: &str) -> Vec<u8> {
        let mut response = json!({ "uid": uid, "allowed": self.refused.is_none() });
        if let Some(message) = self.refused {
            response["status"] =
                json!({ "code": 422, "reason": "Invalid", "message": printable(&message, usize::MAX) });
        }
        if let Some(patch) = self.patch {
            let patch = serde_json::to_vec(&patch).unwrap_or_default();
            response["patchType"] = "JSONPatch".into();
            response["patch"] = json!(ByteString(patch));
        }
        let warnings = within(self.warnings);
        if !warnings.is_empty() {
            response["warnings"] = warnings.into();
        }
        json!({ "apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response }).to_string().into_bytes()
    }
}

/// As many warnings as the API server passes on whole; the last tells how many more there are.
fn within(warnings: Vec<String>) -> Vec<String> {
    let mut room = WARNINGS;
    let count = warnings.len();
    let cut = warnings.into_iter().map(|warning| printable(&warning, WARNING));
    let mut kept: Vec<String> = cut
        .take_while(|warning| {
            let fits = warning.len() <= room;
            room = room.saturating_sub(warning.len());
            fits
        })
        .collect();
    if kept.len() < count {
        kept.push(format!("and {} warnings more", count - kept.len()));
    }
    kept
}

/// Without control characters, which do not travel in a header; line ends stay where there is room for several lines.
fn printable(text: &str, longest: usize) -> String {
    let lines = longest == usize::MAX;
    let shown = text.chars().map(|c| if c.is_control() && !(lines && c == '\n') { ' ' } else { c });
    let short: String = shown.clone().take(longest).collect();
    if short.chars().count() < longest || shown.count() == longest { short } else { short + "..." }
}
