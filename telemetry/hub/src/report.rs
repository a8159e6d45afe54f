//! What the hub answers, as its callers and its JSON see it.

use serde::{Deserialize, Serialize};

/// What happened on the edges of the mesh during some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The time that the figures cover, in seconds. `requests / seconds` is the rate.
    pub seconds: f64,
    /// The edges that had traffic, by source, destination and protocol.
    pub edges: Vec<Edge>,
}

/// Requests from one service to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Canonical service that asks, `unknown` when it has no sidecar. Services of the same name in
    /// several namespaces read `<service>.<namespace>`.
    pub source: String,
    /// Canonical service that answers; where there is none, the service or cluster that was addressed.
    pub destination: String,
    /// `http`, `grpc` or `tcp`.
    pub protocol: String,
    /// Finished requests; on TCP, connections opened.
    pub requests: u64,
    /// From 0 to 1: HTTP responses that are not 5xx, gRPC status 0, TCP connections closed without a
    /// response flag. 1 when nothing has ended yet.
    pub success_rate: f64,
    /// Median duration in milliseconds, interpolated within its bucket; `null` when nothing has ended.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the duration in milliseconds, in the same way.
    pub p99_ms: Option<f64>,
    /// Whether all requests came by mutual TLS, as the destination says; `null` when it says nothing.
    pub mtls: Option<bool>,
    /// How the requests spread over the destination's versions; empty when it has only one and no split
    /// is wanted.
    pub shares: Vec<Share>,
}

/// One version's part of an edge's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Canonical revision of the destination.
    pub version: String,
    /// What configuration wants, from 0 to 1; `null` where it wants no split.
    pub wanted: Option<f64>,
    /// What was seen, from 0 to 1.
    pub observed: f64,
}
