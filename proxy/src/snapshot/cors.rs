//! `CorsPolicy`, as a filter's settings and as the older field of routes and virtual hosts.

use http::HeaderValue;
use xds::core::RuntimeFractionalPercent;
use xds::google::BoolValue;
use xds::matcher::StringMatcher;
use xds::route::cors_policy::EnabledSpecifier;

use super::field::truth;
use super::reason::{Reason, Under};
use super::{each, field, matchers};
use crate::http::cors::Cors;

/// The fields that both messages have.
struct Fields<'a> {
    origins: &'a [StringMatcher],
    methods: &'a str,
    headers: &'a str,
    expose: &'a str,
    max_age: &'a str,
    credentials: Option<&'a BoolValue>,
    private_network: Option<&'a BoolValue>,
    forward_unmatched: Option<&'a BoolValue>,
    enabled: Option<&'a RuntimeFractionalPercent>,
}

/// The settings of the CORS filter.
pub(super) fn compile(policy: &xds::cors::CorsPolicy) -> Result<Cors, Reason> {
    from(&Fields {
        origins: &policy.allow_origin_string_match,
        methods: &policy.allow_methods,
        headers: &policy.allow_headers,
        expose: &policy.expose_headers,
        max_age: &policy.max_age,
        credentials: policy.allow_credentials.as_ref(),
        private_network: policy.allow_private_network_access.as_ref(),
        forward_unmatched: policy.forward_not_matching_preflights.as_ref(),
        enabled: policy.filter_enabled.as_ref(),
    })
}

/// The field `cors` of a route or a virtual host.
pub(super) fn compile_field(policy: &xds::route::CorsPolicy) -> Result<Cors, Reason> {
    from(&Fields {
        origins: &policy.allow_origin_string_match,
        methods: &policy.allow_methods,
        headers: &policy.allow_headers,
        expose: &policy.expose_headers,
        max_age: &policy.max_age,
        credentials: policy.allow_credentials.as_ref(),
        private_network: policy.allow_private_network_access.as_ref(),
        forward_unmatched: policy.forward_not_matching_preflights.as_ref(),
        enabled: policy.enabled_specifier.as_ref().map(|EnabledSpecifier::FilterEnabled(enabled)| enabled),
    })
}

fn from(fields: &Fields<'_>) -> Result<Cors, Reason> {
    Ok(Cors {
        origins: each("allow_origin_string_match", fields.origins, matchers::string)?,
        methods: value(fields.methods).under("allow_methods")?,
        headers: value(fields.headers).under("allow_headers")?,
        expose: value(fields.expose).under("expose_headers")?,
        max_age: value(fields.max_age).under("max_age")?,
        credentials: truth(fields.credentials, false),
        private_network: truth(fields.private_network, false),
        answer_unmatched_preflights: !truth(fields.forward_unmatched, true),
        enabled: fields.enabled.map(field::runtime_fraction).transpose().under("filter_enabled")?,
    })
}

fn value(text: &str) -> Result<Option<HeaderValue>, Reason> {
    if text.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(text).map(Some).map_err(|_| Reason::new(format!("{text:?} is no header value")))
}
