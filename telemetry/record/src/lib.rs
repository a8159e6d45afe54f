//! What a process of the mesh records and exports: metrics with Istio's names and labels, the access
//! log in Istio's text format, and the report to the telemetry hub. A leaf: it knows no other crate of ours.

pub mod access_log;
mod families;
pub mod flags;
mod histogram;
mod instruments;
mod labels;
pub mod log_limit;
mod metrics;
pub mod names;
pub mod otlp;
mod series;
mod store;
mod workload;

pub use flags::ResponseFlags;
pub use instruments::{Counter, CounterVec, Gauge, GaugeVec, Histogram};
pub use log_limit::LogLimit;
pub use metrics::{DEFAULT_SERIES_LIMIT, Metrics};
pub use series::{HttpKey, HttpSeries, SeriesCache, TcpKey, TcpSeries};
pub use workload::{Protocol, Reporter, Security, Service, Workload};
