//! `directResponse`: a fixed answer without an upstream (VirtualService `http[].directResponse`).

use xds::core::{DataSource, data_source::Specifier};
use xds::route::DirectResponseAction;

use crate::model::DirectResponse;

/// The largest body that the API allows, 1 MiB; Envoy's own limit would be 4 KiB.
pub(super) const MAX_BODY_BYTES: u32 = 1 << 20;

/// The answer of a route.
pub(super) fn action(response: &DirectResponse) -> DirectResponseAction {
    let body = response.body.as_deref().map(|body| DataSource {
        specifier: Some(match std::str::from_utf8(body) {
            Ok(text) => Specifier::InlineString(text.to_owned()),
            Err(_) => Specifier::InlineBytes(body.to_vec()),
        }),
        ..DataSource::default()
    });
    DirectResponseAction { status: u32::from(response.status), body, body_format: None }
}
