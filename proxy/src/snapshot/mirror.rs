//! `RequestMirrorPolicy`.

use xds::route::route_action::RequestMirrorPolicy;

use super::field;
use super::reason::{Reason, Under, none_set};
use crate::http::fraction::Fraction;
use crate::http::mirror::Mirror;

/// Compiles one destination of copies.
pub(super) fn compile(policy: &RequestMirrorPolicy) -> Result<Mirror, Reason> {
    none_set(&[
        ("cluster_header", !policy.cluster_header.is_empty()),
        ("request_headers_mutations", !policy.request_headers_mutations.is_empty()),
        ("host_rewrite_literal", !policy.host_rewrite_literal.is_empty()),
    ])?;
    if policy.cluster.is_empty() {
        return Err(Reason::at("cluster", "is missing"));
    }
    let fraction =
        policy.runtime_fraction.as_ref().map(field::runtime_fraction).transpose().under("runtime_fraction")?;
    Ok(Mirror {
        cluster: policy.cluster.as_str().into(),
        fraction: fraction.unwrap_or(Fraction::ALL),
        mark_authority: !policy.disable_shadow_host_suffix_append,
    })
}
