//! What one request leaves behind: Istio's metrics and a line of the access log, written when its response has ended.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use record::access_log::Entry;
use record::{HttpKey, Protocol, Reporter, ResponseFlags, Security, Service, Workload};

use super::body::Meter;
use super::grpc;
use crate::worker::{Connection, Direction, Worker};

/// The reason by which a request is counted whose body did not come.
pub const TOO_SLOW: &str = "request_body_timeout";

/// One request and its response.
pub struct Exchange {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    started: Instant,
    logged: Option<Box<Logged>>,
    /// The request's body as it passes.
    pub meter: Rc<Meter>,
    /// Whether the client speaks gRPC.
    pub grpc: bool,
    request_head: u64,
    finished: Cell<bool>,
    /// The upstream that answered, once there is one.
    pub upstream: Option<Answered>,
    /// The service that was meant, also when nothing answered.
    pub service: Option<Arc<Service>>,
    /// What went wrong.
    pub flags: Cell<ResponseFlags>,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Cow<'static, str>,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`.
    pub transport_failure: String,
    /// `x-envoy-upstream-service-time` of the response: milliseconds.
    pub service_time: Option<u64>,
    /// The route taken.
    pub route: Option<Arc<str>>,
    /// The cluster chosen.
    pub cluster: Option<Arc<str>>,
}

/// The endpoint that answered.
pub struct Answered {
    /// Who, with the identity that its certificate proved.
    pub workload: Arc<Workload>,
    /// Where.
    pub address: SocketAddr,
}

/// What only the access log needs.
struct Logged {
    at: SystemTime,
    method: Method,
    path: String,
    version: Version,
    authority: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    forwarded_for: Option<HeaderValue>,
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Whole.
    Complete,
    /// The upstream broke off in the middle.
    UpstreamBroke,
    /// The downstream went away first.
    DownstreamGone,
    /// The route's timeout fired in the middle.
    TimedOut,
}

impl Exchange {
    /// At the head of a request.
    pub fn begin(worker: &Rc<Worker>, connection: &Rc<Connection>, parts: &Parts) -> Self {
        let mut exchange = Self::unread(worker, connection);
        exchange.logged = worker.handover.access_log.is_some().then(|| Box::new(Logged::of(parts)));
        exchange.grpc = grpc::is_grpc(&parts.headers);
        exchange.request_head = head_bytes(&parts.headers) + parts.uri.path().len() as u64;
        exchange
    }

    /// Of a request whose head could not be read: it is counted, but there is nothing to log.
    pub fn unread(worker: &Rc<Worker>, connection: &Rc<Connection>) -> Self {
        Self {
            worker: worker.clone(),
            connection: connection.clone(),
            started: Instant::now(),
            logged: None,
            meter: Rc::default(),
            grpc: false,
            finished: Cell::new(false),
            request_head: 0,
            upstream: None,
            service: None,
            flags: Cell::new(ResponseFlags::default()),
            details: Cow::Borrowed("via_upstream"),
            transport_failure: String::new(),
            service_time: None,
            route: None,
            cluster: None,
        }
    }

    /// The request has the id by which both sidecars log it, also when it came without one.
    pub fn note_request_id(&mut self, parts: &Parts) {
        if let Some(logged) = &mut self.logged {
            logged.request_id = parts.headers.get("x-request-id").cloned();
        }
    }

    /// Adds a flag.
    pub fn flag(&self, flag: ResponseFlags) {
        self.flags.set(self.flags.get() | flag);
    }

    /// The response has ended: counts it and writes its line.
    pub fn finish(&self, head: &ResponseHead, body_bytes: u64, trailers: Option<&HeaderMap>, ended: Ended) {
        self.finished.set(true);
        if self.meter.is_slow() {
            self.worker.handover.stats.invalid_requests.with(&[TOO_SLOW]).inc();
        }
        match ended {
            Ended::Complete => {}
            Ended::UpstreamBroke if self.meter.is_slow() => self.flag(ResponseFlags::SI),
            Ended::UpstreamBroke => self.flag(ResponseFlags::UC),
            Ended::DownstreamGone => self.flag(ResponseFlags::DC),
            Ended::TimedOut => self.flag(ResponseFlags::UT),
        }
        let duration = self.started.elapsed();
        self.count(head, duration, body_bytes, trailers);
        if let (Some(log), Some(logged)) = (&self.worker.handover.access_log, &self.logged) {
            let service_time = self.service_time.map(|millis| millis.to_string());
            let mut entry = self.entry(logged, head, duration, body_bytes);
            entry.upstream_service_time = service_time.as_deref().map(str::as_bytes);
            log.log(&entry);
        }
    }

    fn count(&self, head: &ResponseHead, duration: Duration, body_bytes: u64, trailers: Option<&HeaderMap>) {
        let own = &self.worker.handover.own;
        let peer = self.upstream.as_ref().map_or(&self.worker.unknown, |upstream| &upstream.workload);
        let inbound = self.connection.direction == Direction::Inbound;
        let source = if inbound { self.connection.source(&self.worker) } else { own.clone() };
        let key = HttpKey {
            reporter: if inbound { Reporter::Destination } else { Reporter::Source },
            source: &source,
            destination: if inbound { own } else { peer },
            service: self.service.as_ref().unwrap_or(&self.worker.unknown_service),
            protocol: if self.grpc { Protocol::Grpc } else { Protocol::Http },
            response_code: head.status,
            grpc_status: self.grpc.then(|| trailers.and_then(grpc::status).or(head.grpc_status)).flatten(),
            flags: self.flags.get(),
            security: if inbound { self.connection.security } else { Security::Unknown },
        };
        let mut series = self.worker.series.borrow_mut();
        series.http(key).record(duration, self.request_head + self.meter.bytes(), head.bytes + body_bytes);
    }

    fn entry<'a>(
        &'a self,
        logged: &'a Logged,
        head: &'a ResponseHead,
        duration: Duration,
        body_bytes: u64,
    ) -> Entry<'a> {
        let upstream = self.upstream.as_ref();
        let authority = logged.authority.as_ref().map(HeaderValue::as_bytes);
        let mut entry = Entry::new(logged.at);
        entry.method = Some(logged.method.as_str());
        entry.path = Some(logged.path.as_bytes());
        entry.protocol = Some(protocol_name(logged.version));
        entry.response_code = head.status;
        entry.response_flags = self.flags.get();
        entry.response_code_details = Some(&self.details);
        entry.upstream_transport_failure_reason =
            Some(self.transport_failure.as_str()).filter(|reason| !reason.is_empty());
        entry.bytes_received = self.meter.bytes();
        entry.bytes_sent = body_bytes;
        entry.duration = duration;
        entry.x_forwarded_for = logged.forwarded_for.as_ref().map(HeaderValue::as_bytes);
        entry.user_agent = logged.user_agent.as_ref().map(HeaderValue::as_bytes);
        entry.request_id = logged.request_id.as_ref().map(HeaderValue::as_bytes);
        entry.authority = authority;
        entry.upstream_host = upstream.map(|upstream| upstream.address);
        entry.upstream_cluster = self.cluster.as_deref();
        entry.downstream_local_address = Some(self.connection.original_dst);
        entry.downstream_remote_address = Some(self.connection.remote);
        entry.requested_server_name = self.connection.server_name.as_deref();
        entry.route_name = self.route.as_deref();
        entry
    }
}

impl Drop for Exchange {
    /// The downstream left before there was an answer: counted as Envoy does, with code 0.
    fn drop(&mut self) {
        if !self.finished.get() {
            self.finish(&ResponseHead { status: 0, bytes: 0, grpc_status: None }, 0, None, Ended::DownstreamGone);
        }
    }
}

/// What is kept of a response's head.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// Status code; 0 when the downstream went away before there was one.
    pub status: u16,
    /// Bytes of the headers.
    pub bytes: u64,
    /// `grpc-status` among the headers: a response without messages.
    pub grpc_status: Option<u16>,
}

impl ResponseHead {
    /// Of a response.
    pub fn of(parts: &http::response::Parts, grpc: bool) -> Self {
        Self {
            status: parts.status.as_u16(),
            bytes: head_bytes(&parts.headers),
            grpc_status: if grpc { grpc::status(&parts.headers) } else { None },
        }
    }
}

impl Logged {
    fn of(parts: &Parts) -> Self {
        let header = |name: &str| parts.headers.get(name).cloned();
        let authority = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        Self {
            at: SystemTime::now(),
            method: parts.method.clone(),
            path: parts.uri.path_and_query().map_or_else(|| "-".to_owned(), ToString::to_string),
            version: parts.version,
            authority: authority.or_else(|| parts.headers.get(HOST).cloned()),
            user_agent: parts.headers.get(USER_AGENT).cloned(),
            request_id: header("x-request-id"),
            forwarded_for: header("x-forwarded-for"),
        }
    }
}

/// Names, values and what separates them; Istio's size metrics count heads too.
fn head_bytes(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum()
}

fn protocol_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}
