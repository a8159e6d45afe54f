//! Copies of requests to another cluster: `RequestMirrorPolicy`.
//!
//! A copy is sent when the request's own answer has come, from what was kept of its body; nobody waits for its answer.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use http_body_util::BodyExt;

use super::body::RequestBody;
use super::forward::towards;
use super::fraction::Fraction;
use super::normalise::without_port;
use crate::http1::client;
use crate::upstream::pool;
use crate::worker::{Connection, Worker};

/// A copy that is not answered for so long is given up; Envoy's default for a route.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where copies go, and of how many requests.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// The cluster that gets them. Its answers are thrown away.
    pub cluster: Arc<str>,
    /// The share of requests.
    pub fraction: Fraction,
    /// Mark copies in their authority; Envoy's default.
    pub mark_authority: bool,
}

impl Mirror {
    /// Whether a request that drew `random` is copied.
    pub fn chosen(&self, random: u64) -> bool {
        self.fraction.hits(random)
    }

    /// The authority of the copy: `host-shadow:port`, so that the receiver can tell copies from requests.
    pub fn authority(&self, authority: &str) -> String {
        if !self.mark_authority || authority.is_empty() {
            return authority.to_owned();
        }
        let host = without_port(authority);
        format!("{host}-shadow{}", authority.get(host.len()..).unwrap_or_default())
    }
}

/// The copies of one request, ready to go.
pub struct Copies<'a> {
    worker: &'a Rc<Worker>,
    destination: SocketAddr,
    copies: Vec<Copy<'a>>,
}

struct Copy<'a> {
    mirror: &'a Mirror,
    head: Head,
    body: Option<RequestBody>,
}

/// A head without what belongs to the connection that it came on.
#[derive(Clone)]
struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
}

impl<'a> Copies<'a> {
    /// Copies of a request, as it goes out.
    pub fn of(
        worker: &'a Rc<Worker>,
        connection: &Connection,
        mirrors: Vec<&'a Mirror>,
        parts: &Parts,
        body: &RequestBody,
    ) -> Self {
        let copy = |mirror: &'a Mirror| Copy { mirror, head: Head::of(parts, mirror), body: body.again() };
        Self { worker, destination: connection.original_dst, copies: mirrors.into_iter().map(copy).collect() }
    }

    /// Sends them in the background.
    pub fn send(self) {
        for Copy { mirror, head, body } in self.copies {
            let mirrored = &self.worker.handover.stats.mirrored;
            match body.filter(RequestBody::is_whole) {
                None => mirrored.with(&["too_large"]).inc(),
                Some(body) => {
                    let (worker, cluster, destination) =
                        (self.worker.clone(), mirror.cluster.clone(), self.destination);
                    tokio::task::spawn_local(async move {
                        let sent =
                            tokio::time::timeout(PATIENCE, send(&worker, &cluster, destination, head, body)).await;
                        let outcome = if matches!(sent, Ok(Some(()))) { "answered" } else { "failed" };
                        worker.handover.stats.mirrored.with(&[outcome]).inc();
                    });
                }
            }
        }
    }
}

impl Head {
    fn of(parts: &Parts, mirror: &Mirror) -> Self {
        let mut headers = parts.headers.clone();
        let authority = headers.get(HOST).and_then(|host| host.to_str().ok()).map(|host| mirror.authority(host));
        if let Some(Ok(authority)) = authority.map(HeaderValue::try_from) {
            headers.insert(HOST, authority);
        }
        Self { method: parts.method.clone(), uri: parts.uri.clone(), version: parts.version, headers }
    }
}

/// `None`: it did not get through.
async fn send(
    worker: &Worker,
    cluster: &Arc<str>,
    destination: SocketAddr,
    head: Head,
    body: RequestBody,
) -> Option<()> {
    let upstream = worker.clusters.get(&worker.handover.tables.load(), cluster).ok()?;
    let host = upstream.pick(destination, &[]).ok()?;
    let _busy = host.busy();
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = head.method;
    parts.uri = head.uri;
    parts.headers = head.headers;
    let version = pool::Version::of(upstream.cluster.http.version, head.version);
    towards(version, &mut parts);
    let request = client::Request { parts: &parts, spelling: None, upgrade: false };
    let answer = pool::send(&worker.handover, &upstream, &host, version, request, body).await.ok()?;
    answer.response.into_body().collect().await.ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_marked_before_the_port() {
        let mut mirror = Mirror { cluster: "outbound|80||copy".into(), fraction: Fraction::ALL, mark_authority: true };
        assert_eq!(mirror.authority("reviews"), "reviews-shadow");
        assert_eq!(mirror.authority("reviews:9080"), "reviews-shadow:9080");
        mirror.mark_authority = false;
        assert_eq!(mirror.authority("reviews:9080"), "reviews:9080");
    }

    #[test]
    fn a_share_is_copied() {
        let mirror = Mirror { cluster: "c".into(), fraction: Fraction::new(25, 100), mark_authority: true };
        assert_eq!((0..100).filter(|random| mirror.chosen(*random)).count(), 25);
    }
}
