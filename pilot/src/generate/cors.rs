//! `corsPolicy`: what scripts of other origins may do (VirtualService `http[].corsPolicy`).

use std::sync::Arc;

use xds::cors::CorsPolicy;
use xds::google::Any;
use xds::pack;

use super::matching::string_matcher;
use super::wrappers::boolean;
use crate::model::Cors;

/// The name of the filter, which is also the key of its settings on a route.
pub(super) const FILTER: &str = "envoy.filters.http.cors";

/// The filter's settings for a route.
pub(super) fn config(cors: &Cors) -> Any {
    pack(&CorsPolicy {
        allow_origin_string_match: cors.allow_origins.iter().map(string_matcher).collect(),
        allow_methods: list(&cors.allow_methods),
        allow_headers: list(&cors.allow_headers),
        expose_headers: list(&cors.expose_headers),
        max_age: cors.max_age.map(|age| age.as_secs().to_string()).unwrap_or_default(),
        allow_credentials: cors.allow_credentials.and_then(boolean),
        forward_not_matching_preflights: boolean(cors.forward_unmatched_preflights),
        ..CorsPolicy::default()
    })
}

fn list(names: &[Arc<str>]) -> String {
    names.join(",")
}
