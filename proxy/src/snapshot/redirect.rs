//! `RedirectAction`.

use http::{HeaderValue, StatusCode};
use xds::route::RedirectAction;
use xds::route::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};

use super::matchers;
use super::reason::{Reason, Under};
use crate::http::redirect::{Redirect, RedirectPath};
use crate::http::rewrite::PathRewrite;

/// Compiles a redirect.
pub(super) fn compile(action: &RedirectAction) -> Result<Redirect, Reason> {
    let scheme = match &action.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(text(scheme).under("scheme_redirect")?),
        Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
    };
    let port = super::field::port(action.port_redirect).under("port_redirect")?;
    Ok(Redirect {
        scheme,
        host: (!action.host_redirect.is_empty())
            .then(|| text(&action.host_redirect))
            .transpose()
            .under("host_redirect")?,
        port: (port != 0).then_some(port),
        path: path(action.path_rewrite_specifier.as_ref())?,
        strip_query: action.strip_query,
        status: status(action.response_code).under("response_code")?,
    })
}

fn path(specifier: Option<&PathRewriteSpecifier>) -> Result<Option<RedirectPath>, Reason> {
    Ok(match specifier {
        None => None,
        Some(PathRewriteSpecifier::PathRedirect(path)) if path.is_empty() => None,
        Some(PathRewriteSpecifier::PathRedirect(path)) => Some(RedirectPath::Whole(text(path).under("path_redirect")?)),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
            Some(RedirectPath::Rewrite(PathRewrite::Prefix(text(prefix).under("prefix_rewrite")?)))
        }
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => {
            let replacement = matchers::replacement(rewrite).under("regex_rewrite")?;
            Some(RedirectPath::Rewrite(PathRewrite::Regex(replacement)))
        }
        Some(PathRewriteSpecifier::PathRewrite(_)) => return Err(Reason::unsupported("path_rewrite")),
    })
}

/// Text that may stand in a `location` header.
fn text(text: &str) -> Result<Box<str>, Reason> {
    if HeaderValue::from_str(text).is_ok() {
        Ok(text.into())
    } else {
        Err(Reason::new(format!("{text:?} is no part of a URL")))
    }
}

fn status(code: i32) -> Result<StatusCode, Reason> {
    Ok(match RedirectResponseCode::try_from(code) {
        Ok(RedirectResponseCode::MovedPermanently) => StatusCode::MOVED_PERMANENTLY,
        Ok(RedirectResponseCode::Found) => StatusCode::FOUND,
        Ok(RedirectResponseCode::SeeOther) => StatusCode::SEE_OTHER,
        Ok(RedirectResponseCode::TemporaryRedirect) => StatusCode::TEMPORARY_REDIRECT,
        Ok(RedirectResponseCode::PermanentRedirect) => StatusCode::PERMANENT_REDIRECT,
        Err(_) => return Err(Reason::new(format!("{code} is none of those known"))),
    })
}
