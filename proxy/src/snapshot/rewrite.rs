//! The rewrites of `RouteAction`.

use http::{HeaderName, HeaderValue};
use xds::route::RouteAction;
use xds::route::route_action::HostRewriteSpecifier;

use super::matchers;
use super::reason::{Reason, Under, none_set};
use crate::http::rewrite::{AuthorityRewrite, PathRewrite, Rewrite};
use crate::http::validate::is_authority;

/// Compiles the rewrites; `None` if there are none.
pub(super) fn compile(action: &RouteAction) -> Result<Option<Rewrite>, Reason> {
    none_set(&[
        ("path_rewrite_policy", action.path_rewrite_policy.is_some()),
        ("path_rewrite", !action.path_rewrite.is_empty()),
    ])?;
    let path = match (action.prefix_rewrite.as_str(), &action.regex_rewrite) {
        ("", None) => None,
        (prefix, None) => Some(PathRewrite::Prefix(prefix.into())),
        ("", Some(rewrite)) => Some(PathRewrite::Regex(matchers::replacement(rewrite).under("regex_rewrite")?)),
        (_, Some(_)) => return Err(Reason::at("regex_rewrite", "cannot stand beside prefix_rewrite")),
    };
    let authority = authority(action.host_rewrite_specifier.as_ref())?;
    if path.is_none() && authority.is_none() {
        return Ok(None);
    }
    Ok(Some(Rewrite { path, authority, append_forwarded_host: action.append_x_forwarded_host }))
}

fn authority(specifier: Option<&HostRewriteSpecifier>) -> Result<Option<AuthorityRewrite>, Reason> {
    Ok(match specifier {
        None => None,
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => {
            Some(AuthorityRewrite::Literal(literal(host).under("host_rewrite_literal")?))
        }
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) => {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Reason::at("host_rewrite_header", format!("{name:?} is no header name")))?;
            Some(AuthorityRewrite::Header(name))
        }
        Some(HostRewriteSpecifier::HostRewritePathRegex(rewrite)) => {
            Some(AuthorityRewrite::Path(matchers::replacement(rewrite).under("host_rewrite_path_regex")?))
        }
        Some(HostRewriteSpecifier::AutoHostRewrite(flag)) if flag.value => {
            return Err(Reason::unsupported("auto_host_rewrite"));
        }
        Some(HostRewriteSpecifier::AutoHostRewrite(_)) => None,
        Some(HostRewriteSpecifier::HostRewrite(_)) => return Err(Reason::unsupported("host_rewrite")),
    })
}

/// An authority that requests get.
pub(super) fn literal(host: &str) -> Result<HeaderValue, Reason> {
    let value = is_authority(host).then(|| HeaderValue::from_str(host).ok()).flatten();
    value.ok_or_else(|| Reason::new(format!("{host:?} is no host with or without a port")))
}
