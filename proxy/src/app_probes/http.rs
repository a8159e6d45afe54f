//! `httpGet`: a GET by the kubelet's rules. Its status is passed on, of its body nothing. A redirect is followed within the
//! pod; one to elsewhere is an answer.

use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Failure;
use super::declared::HttpGet;
use super::dial::Application;

/// As the kubelet.
const MOST_REDIRECTS: usize = 10;
/// So much of a body is read, so that the application is not cut off while it writes a short one.
const READ_OF_BODY: usize = 10 * 1024;

/// Where a request goes; redirects change it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    https: bool,
    port: u16,
    path: PathAndQuery,
}

pub(super) async fn ask(
    application: Application,
    get: &HttpGet,
    user_agent: Option<&HeaderValue>,
) -> Result<StatusCode, Failure> {
    let pod = application.at(get.port).ip().to_string();
    let own_host = get.host.as_deref().unwrap_or(&pod);
    let mut target = Target { https: get.https, port: get.port, path: get.path.clone() };
    for _ in 0..=MOST_REDIRECTS {
        let response = send(application, get, &target, own_host, user_agent).await?;
        match redirected(&response, &target, own_host) {
            Some(next) => target = next,
            None => {
                let status = response.status();
                let _ = Limited::new(response.into_body(), READ_OF_BODY).collect().await;
                return Ok(status);
            }
        }
    }
    Err(Failure::Circles(MOST_REDIRECTS))
}

async fn send(
    application: Application,
    get: &HttpGet,
    target: &Target,
    own_host: &str,
    user_agent: Option<&HeaderValue>,
) -> Result<Response<Incoming>, Failure> {
    let mut request = Request::get(Uri::from(target.path.clone())).body(Empty::new()).map_err(no_http)?;
    *request.headers_mut() = headers(get, target, own_host, user_agent)?;
    let stream = application.connect(target.port).await?;
    if target.https {
        exchange(secure(stream, own_host).await?, request).await
    } else {
        exchange(stream, request).await
    }
}

/// The declared ones over the kubelet's own; an empty value takes one of those away.
fn headers(
    get: &HttpGet,
    target: &Target,
    own_host: &str,
    user_agent: Option<&HeaderValue>,
) -> Result<HeaderMap, Failure> {
    let bare = if own_host.contains(':') { format!("[{own_host}]") } else { own_host.to_owned() };
    let authority = HeaderValue::try_from(format!("{bare}:{}", target.port)).map_err(no_http)?;
    let mut all = HeaderMap::new();
    all.insert(HOST, authority);
    all.insert(USER_AGENT, user_agent.cloned().unwrap_or(HeaderValue::from_static("kube-probe")));
    all.insert(ACCEPT, HeaderValue::from_static("*/*"));
    for name in get.headers.keys() {
        all.remove(name);
        let omitted = |value: &HeaderValue| value.is_empty() && [USER_AGENT, ACCEPT].contains(name);
        for value in get.headers.get_all(name).iter().filter(|value| !omitted(value)) {
            all.append(name, value.clone());
        }
    }
    all.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(all)
}

async fn secure(stream: TcpStream, own_host: &str) -> Result<TlsStream<TcpStream>, Failure> {
    let config = citadel::tls::unverified_client().map_err(|error| Failure::Tls(error.to_string()))?;
    let name = ServerName::try_from(own_host.to_owned()).map_err(|error| Failure::Tls(error.to_string()))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| Failure::Tls(error.to_string()))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(no_http)?;
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let response = sender.send_request(request).await.map_err(no_http)?;
    // What is left of the body still comes; the connection's own end is the application's or the timeout's.
    driving.detach_all();
    Ok(response)
}

/// Where a redirect within the pod leads.
fn redirected<B>(response: &Response<B>, from: &Target, own_host: &str) -> Option<Target> {
    let asks = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
    let location = response.headers().get(LOCATION).filter(|_| asks)?.to_str().ok()?;
    let location = location.split('#').next().unwrap_or_default();
    if !location.contains("://") && !location.starts_with("//") {
        return Some(Target { path: beside(&from.path, location)?, ..from.clone() });
    }
    let absolute =
        if location.starts_with("//") { format!("{}:{location}", scheme(from.https)) } else { location.to_owned() };
    let uri: Uri = absolute.parse().ok()?;
    let https = uri.scheme_str() == Some("https");
    let same_host = uri.host().is_some_and(|host| host.trim_matches(['[', ']']).eq_ignore_ascii_case(own_host));
    let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    (same_host && [Some("http"), Some("https")].contains(&uri.scheme_str())).then_some(Target { https, port, path })
}

fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// A path that is relative to another one.
fn beside(base: &PathAndQuery, relative: &str) -> Option<PathAndQuery> {
    if relative.starts_with('/') {
        return relative.parse().ok();
    }
    let folder = &base.path()[..=base.path().rfind('/')?];
    format!("{folder}{relative}").parse().ok()
}

fn no_http(error: impl std::fmt::Display) -> Failure {
    Failure::Protocol { expected: "HTTP", reason: error.to_string() }
}

/// Whether this header is the connection's own affair and cannot be declared.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::UPGRADE].contains(name)
}
