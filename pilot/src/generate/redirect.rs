//! `redirect`: answer with another address (VirtualService `http[].redirect`).

use xds::matcher::RegexMatchAndSubstitute;
use xds::route::RedirectAction;
use xds::route::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};

use super::matching::regex;
use crate::model::{Redirect, RedirectPath, RedirectPort};

/// The redirect of a route for requests that came for `port`.
pub(super) fn action(redirect: &Redirect, port: u16) -> RedirectAction {
    RedirectAction {
        host_redirect: redirect.authority.as_deref().unwrap_or_default().to_owned(),
        port_redirect: port_of(redirect, port),
        response_code: code(redirect.code) as i32,
        strip_query: false,
        scheme_rewrite_specifier: redirect
            .scheme
            .as_ref()
            .map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_string())),
        path_rewrite_specifier: redirect.path.as_ref().map(|path| match path {
            RedirectPath::Full(path) => PathRewriteSpecifier::PathRedirect(path.to_string()),
            RedirectPath::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix.to_string()),
            RedirectPath::Regex { pattern, substitution } => {
                let pattern = Some(regex(pattern));
                let substitution = substitution.to_string();
                PathRewriteSpecifier::RegexRewrite(RegexMatchAndSubstitute { pattern, substitution })
            }
        }),
    }
}

/// The port to write, 0 for none: the usual port of the scheme is left out, unless it takes the place of another in the
/// host that the client named.
fn port_of(redirect: &Redirect, request_port: u16) -> u32 {
    let port = match redirect.port {
        None => return 0,
        Some(RedirectPort::ProtocolDefault) if redirect.scheme.as_deref() == Some("https") => 443,
        Some(RedirectPort::ProtocolDefault) => 80,
        Some(RedirectPort::Number(port)) => port,
        Some(RedirectPort::Request) => request_port,
    };
    let usual = matches!((redirect.scheme.as_deref().unwrap_or("http"), port), ("http", 80) | ("https", 443));
    let unnamed = redirect.authority.is_some() || matches!(request_port, 80 | 443);
    if usual && unnamed { 0 } else { u32::from(port) }
}

fn code(status: u16) -> RedirectResponseCode {
    match status {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    }
}
