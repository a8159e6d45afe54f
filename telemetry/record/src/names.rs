//! Every metric name, label name and bucket bound of the telemetry crates, in one place.
//! Names, labels and their order are Istio's; names that begin with `meltemi_` are our own.

/// Counter: finished HTTP and gRPC requests.
pub const REQUESTS_TOTAL: &str = "istio_requests_total";
/// Histogram: time from the first byte of a request to the last byte of its response, in milliseconds.
pub const REQUEST_DURATION_MILLISECONDS: &str = "istio_request_duration_milliseconds";
/// Histogram: bytes of a request on the wire, headers included.
pub const REQUEST_BYTES: &str = "istio_request_bytes";
/// Histogram: bytes of a response on the wire, headers included.
pub const RESPONSE_BYTES: &str = "istio_response_bytes";
/// Counter: gRPC messages from the client.
pub const REQUEST_MESSAGES_TOTAL: &str = "istio_request_messages_total";
/// Counter: gRPC messages from the server.
pub const RESPONSE_MESSAGES_TOTAL: &str = "istio_response_messages_total";
/// Counter: bytes sent to the downstream of TCP connections.
pub const TCP_SENT_BYTES_TOTAL: &str = "istio_tcp_sent_bytes_total";
/// Counter: bytes received from the downstream of TCP connections.
pub const TCP_RECEIVED_BYTES_TOTAL: &str = "istio_tcp_received_bytes_total";
/// Counter: TCP connections opened.
pub const TCP_CONNECTIONS_OPENED_TOTAL: &str = "istio_tcp_connections_opened_total";
/// Counter: TCP connections closed.
pub const TCP_CONNECTIONS_CLOSED_TOTAL: &str = "istio_tcp_connections_closed_total";
/// Histogram of our own, with the TCP labels: how long a TCP connection lived, in milliseconds.
pub const TCP_CONNECTION_DURATION_MILLISECONDS: &str = "meltemi_tcp_connection_duration_milliseconds";
/// Gauge, always 1: which build runs.
pub const BUILD: &str = "istio_build";

/// Counter: label sets that found no room in the budget of series.
pub const SERIES_OVERFLOW_TOTAL: &str = "meltemi_series_overflow_total";
/// Counter: access log lines that were dropped.
pub const ACCESS_LOG_DROPPED_TOTAL: &str = "meltemi_access_log_dropped_total";
/// Counter: OTLP exports, by result.
pub const OTLP_EXPORTS_TOTAL: &str = "meltemi_otlp_exports_total";
/// Counter: data points that the OTLP receiver refused.
pub const OTLP_REFUSED_POINTS_TOTAL: &str = "meltemi_otlp_refused_points_total";

/// Counter of the hub: data points received, by what became of them.
pub const HUB_POINTS_TOTAL: &str = "meltemi_hub_points_total";
/// Counter of the hub: reports received, by what became of them.
pub const HUB_REPORTS_TOTAL: &str = "meltemi_hub_reports_total";
/// Gauge of the hub: edges in memory.
pub const HUB_EDGES: &str = "meltemi_hub_edges";

/// Resource attribute of an OTLP report: the reporter's Kubernetes namespace.
pub const ATTRIBUTE_NAMESPACE: &str = "k8s.namespace.name";
/// Resource attribute of an OTLP report: the reporter's service account.
pub const ATTRIBUTE_SERVICE_ACCOUNT: &str = "meltemi.service.account";
/// Resource attribute of an OTLP report: tells this process from all others, restarts included.
pub const ATTRIBUTE_INSTANCE: &str = "service.instance.id";
/// Scope attribute of an OTLP report: its number, rising by one within an instance.
pub const ATTRIBUTE_SEQUENCE: &str = "meltemi.report.sequence";

/// What a label reads when its value is not known.
pub const UNKNOWN: &str = "unknown";
/// What a canonical revision reads when it is not known.
pub const LATEST: &str = "latest";
/// What the labels of the overflow series read.
pub const OVERFLOW: &str = "overflow";

/// How many of [`LABELS`] say who speaks with whom. The message counters carry only these.
pub const PARTY_LABELS: usize = 20;

/// The labels of the HTTP metrics, in Istio's order of emission.
pub const LABELS: [&str; 25] = [
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "response_flags",
    "connection_security_policy",
];

/// The labels of the TCP metrics, in Istio's order of emission.
pub const TCP_LABELS: [&str; 23] = {
    let mut labels = [""; 23];
    let mut from = 0;
    let mut to = 0;
    while from < LABELS.len() {
        // The two that only HTTP has: response_code and grpc_response_status.
        if from != 21 && from != 22 {
            labels[to] = LABELS[from];
            to += 1;
        }
        from += 1;
    }
    labels
};

/// Upper bounds of the buckets of every histogram above, in milliseconds or bytes.
pub const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];
