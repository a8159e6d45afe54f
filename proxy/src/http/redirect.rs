//! Redirects: `RedirectAction`.

use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};

use super::decide::RequestView;
use super::matching::RouteMatch;
use super::rewrite::PathRewrite;

/// Where a request is sent instead.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// Another scheme.
    pub scheme: Option<Box<str>>,
    /// Another host, perhaps with a port.
    pub host: Option<Box<str>>,
    /// Another port.
    pub port: Option<u16>,
    /// Another path.
    pub path: Option<RedirectPath>,
    /// Leave the query out.
    pub strip_query: bool,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// How the path changes.
#[derive(Debug, Clone)]
pub enum RedirectPath {
    /// To this. A query in it takes the place of the request's.
    Whole(Box<str>),
    /// As a rewrite would change it.
    Rewrite(PathRewrite),
}

impl Redirect {
    /// The answer to a request that `matcher` took. The length of its body is zero.
    pub fn response(&self, view: &RequestView<'_>, matcher: &RouteMatch) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        match HeaderValue::from_str(&self.location(view, matcher)) {
            Ok(location) => {
                response.headers_mut().insert(LOCATION, location);
            }
            // Only a path that was never validated has bytes that no header may carry.
            Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
        }
        response
    }

    fn location(&self, view: &RequestView<'_>, matcher: &RouteMatch) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(view.scheme);
        let host = self.host.as_deref().unwrap_or_else(|| self.request_host(view, scheme));
        let mut location = format!("{scheme}://{host}");
        if let Some(port) = self.port {
            location.push_str(&format!(":{port}"));
        }
        let mut query = view.query.filter(|_| !self.strip_query);
        match &self.path {
            None => location.push_str(view.path),
            Some(RedirectPath::Rewrite(rewrite)) => location.push_str(&rewrite.apply(view.path, matcher)),
            Some(RedirectPath::Whole(path)) => {
                if path.contains('?') {
                    query = None;
                }
                location.push_str(path);
            }
        }
        if let Some(query) = query {
            location.push('?');
            location.push_str(query);
        }
        location
    }

    /// The request's authority, without a port that the redirect replaces or that was the old scheme's default.
    fn request_host<'a>(&self, view: &RequestView<'a>, scheme: &str) -> &'a str {
        let host = super::normalise::without_port(view.authority);
        let port = view.authority.get(host.len()..).unwrap_or_default();
        let default = matches!((view.scheme, port), ("http", ":80") | ("https", ":443"));
        if self.port.is_some() || (scheme != view.scheme && default) { host } else { view.authority }
    }
}

#[cfg(test)]
mod tests;
