//! Sends a request to its upstream: choose an endpoint, send, and try again where the route allows it.

use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, Version};
use record::ResponseFlags;
use tokio::time::Sleep;

use super::body::RequestBody;
use super::decide::{Forward, RequestView};
use super::exchange::{Answered, Exchange, TOO_SLOW};
use super::grpc;
use super::incoming::Incoming;
use super::mirror::{Copies, Mirror};
use super::patience::Patience;
use super::reply::{NOT_PROCESSED, Reply};
use super::response_body::Held;
use super::retry::{Outcome, RetryPolicy};
use super::rewrite;
use super::weights::Target;
use crate::http1::client;
use crate::http1::spelling::Spelling;
use crate::upstream::pool::{self, Answer, Failure, FailureKind};
use crate::upstream::{Host, NoUpstream, Upstream};
use crate::worker::{Connection, Worker};

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// A request on its way out.
pub struct Outgoing<'a> {
    /// Its head, edited.
    pub parts: Parts,
    /// How its header names were spelt.
    pub spelling: Option<Spelling>,
    /// Its body.
    pub body: Incoming,
    /// It asks to switch protocols, and may.
    pub upgrade: bool,
    /// Where copies of it go.
    pub mirrors: Vec<&'a Mirror>,
}

/// A response of an upstream and what it occupies.
pub struct Forwarded {
    /// Head and body.
    pub response: Response<Incoming>,
    /// To be let go when the body has ended.
    pub held: Held,
    /// What is left of the route's timeout.
    pub deadline: Option<Pin<Box<Sleep>>>,
    /// The protocol was switched: the connection is no longer HTTP.
    pub switched: bool,
}

/// One request with everything that its tries share.
struct Tries<'a> {
    worker: &'a Rc<Worker>,
    connection: &'a Connection,
    exchange: &'a mut Exchange,
    forward: &'a Forward,
    target: &'a Target,
    upstream: Rc<Upstream>,
    retry: Option<&'a RetryPolicy>,
    tried: Vec<std::net::SocketAddr>,
    retries: u32,
}

/// The request as every try sends it.
struct Outbound {
    parts: Parts,
    spelling: Option<Spelling>,
    upgrade: bool,
    version: pool::Version,
}

/// What a try came to.
enum Try {
    Answered(Box<Answer>, Rc<Host>, Duration),
    Failed(FailureKind, String),
    TimedOut,
}

/// Forwards within the route's timeout.
///
/// # Errors
/// The answer that the downstream gets instead.
pub async fn forward(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    exchange: &mut Exchange,
    forward: &Forward,
    outgoing: Outgoing<'_>,
) -> Result<Forwarded, Reply> {
    let Outgoing { mut parts, spelling, body, upgrade, mirrors } = outgoing;
    let target = forward.targets.pick(fastrand::u64(..));
    exchange.cluster = Some(target.cluster.clone());
    let upstream = worker
        .clusters
        .get(&worker.handover.tables.load(), &target.cluster)
        .map_err(|_| no_upstream(NoUpstream::NoCluster))?;
    exchange.service = Some(upstream.cluster.service.clone());
    let timeout = forward.timeout.effective(&parts.headers);
    let per_try = forward.retry.as_ref().and_then(|policy| policy.per_try_timeout);
    let expected = timeout.into_iter().chain(per_try).min();
    let told = expected.filter(|_| !connection.settings.suppress_envoy_headers);
    edit(&mut parts, target, told)?;

    let retry = forward.retry.as_ref().filter(|policy| !upgrade && policy.covers(&RequestView::of(&parts)));
    let keep = retry.is_some() || !mirrors.is_empty();
    let patience = Patience::with(parts.version, &body, &connection.settings);
    let body = RequestBody::new(body, &exchange.meter, patience, keep);
    let copies = Copies::of(worker, connection, mirrors, &parts, &body);
    let meter = exchange.meter.clone();
    let version = pool::Version::of(upstream.cluster.http.version, parts.version);
    towards(version, &mut parts);
    let outbound = Outbound { parts, spelling, upgrade, version };
    let tries = Tries { worker, connection, exchange, forward, target, upstream, retry, tried: Vec::new(), retries: 0 };

    let Some(timeout) = timeout else {
        let won = tries.run(outbound, body).await;
        copies.send();
        return Ok(finish(won?, None));
    };
    // As with Envoy the clock starts when the whole request has arrived.
    let deadline = async { tokio::time::sleep_until(meter.end().await + timeout).await };
    tokio::select! {
        biased;
        answered = tries.run(outbound, body) => {
            copies.send();
            let from = meter.ended_at().unwrap_or_else(tokio::time::Instant::now);
            let deadline = Box::pin(tokio::time::sleep_until(from + timeout));
            Ok(finish(answered?, Some(deadline)))
        }
        () = deadline => Err(timed_out()),
    }
}

/// What the target and the timeout say about the head.
fn edit(parts: &mut Parts, target: &Target, timeout: Option<Duration>) -> Result<(), Reply> {
    if let Some(edits) = &target.request_headers {
        edits.apply(&mut parts.headers);
    }
    if let Some(authority) = &target.authority {
        rewrite::set_authority(parts, authority).map_err(|refusal| super::of_refusal(&refusal))?;
    }
    if let Some(timeout) = timeout {
        parts
            .headers
            .insert(EXPECTED_TIMEOUT, HeaderValue::from(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)));
    }
    Ok(())
}

type Won = (Answer, Rc<Host>, crate::upstream::Busy);

fn finish((answer, _host, busy): Won, deadline: Option<Pin<Box<Sleep>>>) -> Forwarded {
    let Answer { response, stream, .. } = answer;
    // Without being asked an upstream cannot switch.
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    Forwarded { response, held: Held { stream, busy }, deadline: deadline.filter(|_| !switched), switched }
}

impl Tries<'_> {
    /// Tries until there is an answer to pass on or nothing more may be tried.
    async fn run(mut self, mut outbound: Outbound, mut body: RequestBody) -> Result<Won, Reply> {
        loop {
            let host = self.upstream.pick(self.connection.original_dst, &self.tried).map_err(no_upstream)?;
            let busy = host.busy();
            let again = self.retry.filter(|policy| self.retries < policy.attempts).and_then(|_| body.again());
            if self.forward.attempt_count_in_request {
                outbound.parts.headers.insert(ATTEMPT_COUNT, HeaderValue::from(self.retries + 1));
            }
            let workload = host.workload(None);
            self.exchange.upstream = Some(Answered { workload, address: host.endpoint.address });
            let outcome = self.attempt(&host, &outbound, body).await;
            if let Some(again) = again.filter(RequestBody::can_replay)
                && self.may_retry(&outcome)
            {
                self.note_retry(&outcome, &host);
                self.pause().await;
                body = again;
                continue;
            }
            return self.settle(outcome, busy);
        }
    }

    async fn attempt(&mut self, host: &Rc<Host>, outbound: &Outbound, body: RequestBody) -> Try {
        let handover = &self.worker.handover;
        let started = Instant::now();
        let request =
            client::Request { parts: &outbound.parts, spelling: outbound.spelling.as_ref(), upgrade: outbound.upgrade };
        let sent = pool::send(handover, &self.upstream, host, outbound.version, request, body);
        let sent = match self.retry.and_then(|policy| policy.per_try_timeout) {
            None => sent.await,
            Some(limit) => {
                // Like the route's, this clock starts when the whole request has arrived.
                let meter = self.exchange.meter.clone();
                let from = tokio::time::Instant::from_std(started);
                tokio::select! {
                    biased;
                    sent = sent => sent,
                    () = async { tokio::time::sleep_until(meter.end().await.max(from) + limit).await } => return Try::TimedOut,
                }
            }
        };
        match sent {
            Ok(answer) => Try::Answered(Box::new(answer), host.clone(), started.elapsed()),
            Err(Failure { text, .. }) if self.exchange.meter.is_broken() => Try::Failed(FailureKind::Downstream, text),
            Err(Failure { kind, text }) => Try::Failed(kind, text),
        }
    }

    fn may_retry(&self, outcome: &Try) -> bool {
        let Some(policy) = self.retry else { return false };
        let outcome = match outcome {
            Try::TimedOut => Outcome::PerTryTimeout,
            Try::Failed(FailureKind::Connect, _) => Outcome::ConnectFailure,
            Try::Failed(FailureKind::Refused, _) => Outcome::RefusedStream,
            Try::Failed(FailureKind::Reset, _) => Outcome::Reset { request_sent: true, response_started: false },
            Try::Failed(FailureKind::Downstream | FailureKind::Malformed, _) => return false,
            Try::Answered(answer, ..) if not_processed(answer) => Outcome::ConnectFailure,
            Try::Answered(answer, ..) => {
                Outcome::Response { status: answer.response.status(), headers: answer.response.headers() }
            }
        };
        policy.should_retry(outcome, self.retries)
    }

    fn note_retry(&mut self, outcome: &Try, host: &Host) {
        let reason = match outcome {
            Try::TimedOut => "per_try_timeout",
            Try::Failed(FailureKind::Connect, _) => "connect_failure",
            Try::Failed(FailureKind::Refused, _) => "refused_stream",
            Try::Failed(..) => "reset",
            Try::Answered(..) => "response",
        };
        self.worker.handover.stats.retries.with(&[reason]).inc();
        if self.retry.is_some_and(|policy| policy.avoid_previous_hosts) {
            self.tried.push(host.endpoint.address);
        }
        self.retries += 1;
    }

    async fn pause(&self) {
        if let Some(policy) = self.retry {
            tokio::time::sleep(policy.back_off(self.retries, fastrand::u64(..))).await;
        }
    }

    /// The last try's outcome becomes the answer.
    fn settle(self, outcome: Try, busy: crate::upstream::Busy) -> Result<Won, Reply> {
        if self.retries > 0 && self.retry.is_some_and(|policy| self.retries >= policy.attempts) && !good(&outcome) {
            self.exchange.flag(ResponseFlags::URX);
        }
        match outcome {
            Try::TimedOut => Err(per_try_timed_out()),
            Try::Failed(kind, text) => {
                self.exchange.transport_failure.clone_from(&text);
                Err(if self.exchange.meter.is_slow() { too_slow(text) } else { failed(kind, &text) })
            }
            Try::Answered(mut answer, host, service_time) => {
                self.exchange.upstream = Some(Answered {
                    workload: host.workload(answer.principal.as_deref()),
                    address: host.endpoint.address,
                });
                let headers = answer.response.headers_mut();
                let millis = u64::try_from(service_time.as_millis()).unwrap_or(u64::MAX);
                if !self.connection.settings.suppress_envoy_headers {
                    headers.insert(SERVICE_TIME, HeaderValue::from(millis));
                }
                self.exchange.service_time = Some(millis);
                if self.forward.attempt_count_in_response {
                    headers.insert(ATTEMPT_COUNT, HeaderValue::from(self.retries + 1));
                }
                if let Some(edits) = &self.target.response_headers {
                    edits.apply(headers);
                }
                Ok((*answer, host, busy))
            }
        }
    }
}

fn good(outcome: &Try) -> bool {
    matches!(outcome, Try::Answered(answer, ..) if !answer.response.status().is_server_error()
        && grpc::status(answer.response.headers()).unwrap_or(0) == 0)
}

/// An authenticated sidecar says that its application saw nothing of the request.
fn not_processed(answer: &Answer) -> bool {
    answer.principal.is_some() && answer.response.headers().contains_key(NOT_PROCESSED)
}

/// The head as the chosen version wants it.
pub(super) fn towards(version: pool::Version, parts: &mut Parts) {
    match version {
        pool::Version::Http1 => {
            parts.version = Version::HTTP_11;
            join_cookies(&mut parts.headers);
        }
        pool::Version::Http2 => {
            parts.version = Version::HTTP_2;
            let host = parts.headers.remove(http::header::HOST);
            parts.uri = absolute(std::mem::take(&mut parts.uri), host.as_ref());
        }
    }
}

/// HTTP/2 may split a cookie into several fields; HTTP/1 has one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut http::HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// HTTP/2 has the authority in the target (RFC 9113 section 8.3.1).
fn absolute(uri: Uri, host: Option<&HeaderValue>) -> Uri {
    let Some(host) = host else { return uri };
    let mut new = uri.clone().into_parts();
    new.scheme = Some(http::uri::Scheme::HTTP);
    new.authority = http::uri::Authority::try_from(host.as_bytes()).ok();
    Uri::from_parts(new).unwrap_or(uri)
}

fn no_upstream(why: NoUpstream) -> Reply {
    match why {
        NoUpstream::NoCluster => {
            Reply::new(StatusCode::SERVICE_UNAVAILABLE, ResponseFlags::NC, "cluster_not_found", "").untouched()
        }
        NoUpstream::NoHealthyUpstream => {
            Reply::new(StatusCode::SERVICE_UNAVAILABLE, ResponseFlags::UH, "no_healthy_upstream", "no healthy upstream")
                .untouched()
        }
    }
}

fn failed(kind: FailureKind, text: &str) -> Reply {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let told = |reason: &str| {
        format!(
            "upstream connect error or disconnect/reset before headers. reset reason: {reason}, transport failure reason: {text}"
        )
    };
    match kind {
        FailureKind::Connect => Reply::new(
            unavailable,
            ResponseFlags::UF,
            "upstream_reset_before_response_started{remote_connection_failure}",
            told("remote connection failure"),
        )
        .untouched(),
        FailureKind::Refused => Reply::new(
            unavailable,
            ResponseFlags::UR,
            "upstream_reset_before_response_started{remote_refused_stream_reset}",
            told("remote refused stream reset"),
        )
        .untouched(),
        FailureKind::Reset => Reply::new(
            unavailable,
            ResponseFlags::UC,
            "upstream_reset_before_response_started{connection_termination}",
            told("connection termination"),
        ),
        FailureKind::Malformed => Reply::new(
            StatusCode::BAD_GATEWAY,
            ResponseFlags::UPE,
            "upstream_reset_before_response_started{protocol_error}",
            told("protocol error"),
        ),
        FailureKind::Downstream => Reply::new(
            StatusCode::BAD_REQUEST,
            ResponseFlags::DPE,
            "downstream_remote_disconnect",
            format!("the request's body broke off: {text}"),
        ),
    }
}

fn too_slow(text: String) -> Reply {
    Reply::new(StatusCode::REQUEST_TIMEOUT, ResponseFlags::SI, TOO_SLOW, text)
}

fn timed_out() -> Reply {
    Reply::new(StatusCode::GATEWAY_TIMEOUT, ResponseFlags::UT, "response_timeout", "upstream request timeout")
}

fn per_try_timed_out() -> Reply {
    Reply::new(StatusCode::GATEWAY_TIMEOUT, ResponseFlags::UT, "upstream_per_try_timeout", "upstream request timeout")
}
