//! What a request or connection is recorded in. A worker keeps a cache of resolved series, so that the
//! hot path is one lookup by addresses and small integers: no lock, no label, no allocation.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::flags::ResponseFlags;
use crate::histogram::BucketCounts;
use crate::metrics::Metrics;
use crate::workload::{Protocol, Reporter, Security, Service, Workload};

/// How many resolved series a worker remembers of each kind. When full it forgets all and begins anew:
/// the workloads of an old configuration must not stay in memory for ever.
const CACHED: usize = 2048;

/// Says which series an HTTP or gRPC request belongs to.
#[derive(Clone, Copy, Debug)]
pub struct HttpKey<'a> {
    /// Which end this proxy is.
    pub reporter: Reporter,
    /// The client.
    pub source: &'a Arc<Workload>,
    /// The server.
    pub destination: &'a Arc<Workload>,
    /// What the client asked for.
    pub service: &'a Arc<Service>,
    /// [`Protocol::Http`] or [`Protocol::Grpc`].
    pub protocol: Protocol,
    /// HTTP status, 0 when there was no response.
    pub response_code: u16,
    /// gRPC status, if one was seen.
    pub grpc_status: Option<u16>,
    /// Why the request ended as it did.
    pub flags: ResponseFlags,
    /// How the connection was secured; the client's side says `Unknown`.
    pub security: Security,
}

/// Says which series a TCP connection belongs to.
#[derive(Clone, Copy, Debug)]
pub struct TcpKey<'a> {
    /// Which end this proxy is.
    pub reporter: Reporter,
    /// The client.
    pub source: &'a Arc<Workload>,
    /// The server.
    pub destination: &'a Arc<Workload>,
    /// What the client asked for.
    pub service: &'a Arc<Service>,
    /// Why the connection ended as it did; empty while it lives.
    pub flags: ResponseFlags,
    /// How the connection was secured; the client's side says `Unknown`.
    pub security: Security,
}

/// The series of one label set of requests.
#[derive(Debug, Default)]
pub struct HttpSeries {
    pub(crate) duration: BucketCounts,
    pub(crate) request_bytes: BucketCounts,
    pub(crate) response_bytes: BucketCounts,
    /// Only for gRPC, and shared by all that differ only in how the request ended.
    pub(crate) messages: Option<Arc<Messages>>,
}

/// Messages of gRPC streams between two workloads.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub request: AtomicU64,
    pub response: AtomicU64,
}

impl HttpSeries {
    /// Records one finished request. Bytes are those on the wire, headers included.
    pub fn record(&self, duration: Duration, request_bytes: u64, response_bytes: u64) {
        self.duration.record_duration(duration);
        self.request_bytes.record_bytes(request_bytes);
        self.response_bytes.record_bytes(response_bytes);
    }

    /// Adds gRPC messages, at the end of a stream or while it lives. Does nothing for plain HTTP.
    pub fn messages(&self, request: u64, response: u64) {
        if let Some(messages) = &self.messages {
            messages.request.fetch_add(request, Relaxed);
            messages.response.fetch_add(response, Relaxed);
        }
    }
}

/// The series of one label set of TCP connections.
#[derive(Debug, Default)]
pub struct TcpSeries {
    pub(crate) opened: AtomicU64,
    pub(crate) lifetime: BucketCounts,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl TcpSeries {
    /// Counts a connection that was opened.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// Counts a connection that was closed after `lifetime`.
    pub fn closed(&self, lifetime: Duration) {
        self.lifetime.record_duration(lifetime);
    }

    /// Adds bytes sent to the downstream since the last call.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Adds bytes received from the downstream since the last call.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }
}

/// One worker's resolved series. Keys are the addresses of the `Arc`s, which each entry keeps alive, so an
/// address never comes to mean another workload. Two `Arc`s with equal contents lead to the same series.
#[derive(Debug)]
pub struct SeriesCache {
    metrics: Metrics,
    http: HashMap<CacheKey, Cached<HttpSeries>, BuildHasherDefault<AddressHasher>>,
    tcp: HashMap<CacheKey, Cached<TcpSeries>, BuildHasherDefault<AddressHasher>>,
}

#[derive(Debug)]
struct Cached<T> {
    series: Arc<T>,
    _kept_alive: (Arc<Workload>, Arc<Workload>, Arc<Service>),
}

/// `rest` holds what is not an address, packed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CacheKey {
    source: usize,
    destination: usize,
    service: usize,
    rest: (u64, u32),
}

impl SeriesCache {
    /// An empty cache over `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, http: HashMap::default(), tcp: HashMap::default() }
    }

    /// The series of a request.
    pub fn http(&mut self, key: HttpKey<'_>) -> &HttpSeries {
        if self.http.len() >= CACHED {
            self.http.clear();
        }
        match self.http.entry(CacheKey::http(&key)) {
            Entry::Occupied(entry) => &entry.into_mut().series,
            Entry::Vacant(entry) => {
                let series = self.metrics.series().http(&key);
                let kept = (key.source.clone(), key.destination.clone(), key.service.clone());
                &entry.insert(Cached { series, _kept_alive: kept }).series
            }
        }
    }

    /// The series of a connection.
    pub fn tcp(&mut self, key: TcpKey<'_>) -> &TcpSeries {
        if self.tcp.len() >= CACHED {
            self.tcp.clear();
        }
        match self.tcp.entry(CacheKey::tcp(&key)) {
            Entry::Occupied(entry) => &entry.into_mut().series,
            Entry::Vacant(entry) => {
                let series = self.metrics.series().tcp(&key);
                let kept = (key.source.clone(), key.destination.clone(), key.service.clone());
                &entry.insert(Cached { series, _kept_alive: kept }).series
            }
        }
    }
}

impl CacheKey {
    fn http(key: &HttpKey<'_>) -> Self {
        let enums = key.reporter as u64 | (key.protocol as u64) << 2 | (key.security as u64) << 4;
        let code = u64::from(key.response_code) << 16 | u64::from(key.flags.bits()) << 32;
        let grpc = key.grpc_status.map_or(u32::MAX, u32::from);
        Self {
            source: Arc::as_ptr(key.source).addr(),
            destination: Arc::as_ptr(key.destination).addr(),
            service: Arc::as_ptr(key.service).addr(),
            rest: (enums | code, grpc),
        }
    }

    fn tcp(key: &TcpKey<'_>) -> Self {
        Self::http(&HttpKey {
            reporter: key.reporter,
            source: key.source,
            destination: key.destination,
            service: key.service,
            protocol: Protocol::Tcp,
            response_code: 0,
            grpc_status: None,
            flags: key.flags,
            security: key.security,
        })
    }
}

/// A multiplicative hasher for addresses and small integers, which no peer chooses freely.
#[derive(Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    fn finish(&self) -> u64 {
        // The table takes its buckets from the low bits, which a multiplication mixes least.
        self.0.rotate_left(26)
    }
}
