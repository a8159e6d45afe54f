//! Reports the metrics of this process over OTLP, as deltas, to the hub or any collector.
//!
//! A report that could not be delivered is sent again unchanged until it is, and only then is the next
//! one made, which covers all that happened meanwhile. Reports are numbered, so a receiver that did get
//! one whose acknowledgement was lost can tell, and nothing is lost or counted twice.

mod delta;
mod report;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::instruments::{Counter, CounterVec};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::names;
use delta::Deltas;
use report::ReportMaker;

/// No interval is shorter than this, whatever the caller says.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// How an [`Exporter`] reports.
#[derive(Clone, Debug)]
pub struct ExporterOptions {
    /// Time between two reports. Default 10 s.
    pub interval: Duration,
    /// How long one report may take to be delivered. Default 5 s.
    pub timeout: Duration,
    /// Resource attributes: who reports, such as `service.name`, `k8s.namespace.name`, `k8s.pod.name`,
    /// `meltemi.service.account`. `service.instance.id` is added when it is not among them.
    pub resource: Vec<(String, String)>,
}

impl Default for ExporterOptions {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(5), resource: Vec::new() }
    }
}

/// Why a report was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The receiver cannot be reached, or cannot take the report now. The report is kept.
    #[error("the metrics report was not delivered and is kept for the next try: {0}")]
    NotDelivered(Status),
    /// The receiver says that the report itself is wrong. Sending it again would not help; it is dropped.
    #[error("the receiver refused the metrics report as malformed, it is dropped: {0}")]
    Refused(Status),
    /// The exporter has been shut down.
    #[error("the metrics exporter is not running any more")]
    Stopped,
}

/// A running exporter. Dropping it ends it without a last report; [`Exporter::shutdown`] sends one.
#[derive(Debug)]
pub struct Exporter {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Interval(Duration),
    Flush(oneshot::Sender<Result<(), ExportError>>),
}

impl Exporter {
    /// Starts to report `metrics` over `channel`. Must be called within a tokio runtime.
    pub fn start(metrics: Metrics, channel: Channel, options: ExporterOptions) -> Self {
        let (commands, inbox) = mpsc::channel(16);
        let interval = options.interval.max(SHORTEST_INTERVAL);
        let sender = Sender::new(metrics, channel, options);
        Self { commands, task: tokio::spawn(run(sender, inbox, interval)) }
    }

    /// Changes the time between two reports, at once.
    pub async fn set_interval(&self, interval: Duration) {
        // Sending fails only after a panic of the task, which has been logged by then.
        let _ = self.commands.send(Command::Interval(interval)).await;
    }

    /// Reports now what has happened since the last report, and says how that went.
    ///
    /// # Errors
    /// The report could not be delivered.
    pub async fn flush(&self) -> Result<(), ExportError> {
        let (answer, result) = oneshot::channel();
        self.commands.send(Command::Flush(answer)).await.map_err(|_| ExportError::Stopped)?;
        result.await.map_err(|_| ExportError::Stopped)?
    }

    /// Sends a last report, for at most `grace`, and ends.
    ///
    /// # Errors
    /// The last report could not be delivered.
    pub async fn shutdown(self, grace: Duration) -> Result<(), ExportError> {
        let late = || Err(ExportError::NotDelivered(Status::deadline_exceeded("shutting down")));
        let result = timeout(grace, self.flush()).await.unwrap_or_else(|_| late());
        self.task.abort();
        result
    }
}

async fn run(mut sender: Sender, mut inbox: mpsc::Receiver<Command>, mut interval: Duration) {
    // A random first wait keeps proxies that start together from reporting together.
    let mut due = Instant::now() + interval.mul_f64(0.5 + fastrand::f64() / 2.0);
    loop {
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Interval(new)) => {
                    interval = new.max(SHORTEST_INTERVAL);
                    due = due.min(Instant::now() + interval);
                }
                Some(Command::Flush(answer)) => {
                    due = Instant::now() + interval;
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(sender.export().await);
                }
                None => return,
            },
            () = tokio::time::sleep_until(due) => {
                due = Instant::now() + interval;
                sender.export_and_log().await;
            }
        }
    }
}

/// Makes reports and delivers them in order.
struct Sender {
    metrics: Metrics,
    client: MetricsServiceClient<Channel>,
    timeout: Duration,
    deltas: Deltas,
    reports: ReportMaker,
    /// Reports made and not yet delivered. New ones are made only when it is empty, so it never holds
    /// more than one round of the registry.
    outbox: VecDeque<ExportMetricsServiceRequest>,
    exports: CounterVec,
    refused_points: Counter,
    failing: bool,
}

impl Sender {
    fn new(metrics: Metrics, channel: Channel, options: ExporterOptions) -> Self {
        let exports = metrics.counter_vec(names::OTLP_EXPORTS_TOTAL, "Metrics reports by result.", &["result"]);
        let help = "Data points that the receiver of a metrics report refused.";
        let refused_points = metrics.counter(names::OTLP_REFUSED_POINTS_TOTAL, help);
        Self {
            metrics,
            client: MetricsServiceClient::new(channel),
            timeout: options.timeout,
            deltas: Deltas::new(SystemTime::now()),
            reports: ReportMaker::new(options.resource),
            outbox: VecDeque::new(),
            exports,
            refused_points,
            failing: false,
        }
    }

    /// Delivers what is left over, then what has happened since.
    async fn export(&mut self) -> Result<(), ExportError> {
        self.deliver().await?;
        let changed = self.deltas.take(&self.metrics.gather(), SystemTime::now());
        self.outbox = self.reports.make(changed);
        self.deliver().await
    }

    async fn deliver(&mut self) -> Result<(), ExportError> {
        while let Some(report) = self.outbox.front() {
            let sending = self.client.export(report.clone());
            let late = |_| Err(Status::deadline_exceeded(format!("no answer within {:?}", self.timeout)));
            match timeout(self.timeout, sending).await.unwrap_or_else(late) {
                Ok(response) => {
                    self.outbox.pop_front();
                    self.exports.with(&["delivered"]).inc();
                    self.note_refused_points(response.into_inner().partial_success);
                }
                // Out of range is what tonic says of a message above the receiver's size limit.
                Err(status) if matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) => {
                    self.outbox.pop_front();
                    self.exports.with(&["refused"]).inc();
                    return Err(ExportError::Refused(status));
                }
                Err(status) => {
                    self.exports.with(&["failed"]).inc();
                    return Err(ExportError::NotDelivered(status));
                }
            }
        }
        Ok(())
    }

    fn note_refused_points(&self, partial: Option<ExportMetricsPartialSuccess>) {
        static REFUSED: LogLimit = LogLimit::new(Duration::from_secs(60));
        let Some(partial) = partial.filter(|partial| partial.rejected_data_points > 0) else {
            return;
        };
        self.refused_points.add(partial.rejected_data_points.unsigned_abs());
        if let Some(suppressed) = REFUSED.admit() {
            let points = partial.rejected_data_points;
            tracing::warn!(points, reason = partial.error_message, suppressed, "the receiver refused metrics");
        }
    }

    async fn export_and_log(&mut self) {
        static FAILED: LogLimit = LogLimit::new(Duration::from_secs(60));
        let result = self.export().await;
        match &result {
            Ok(()) if self.failing => tracing::info!("metrics reports are delivered again"),
            Ok(()) => {}
            Err(error) => {
                if let Some(suppressed) = FAILED.admit() {
                    tracing::warn!(%error, suppressed, "metrics report");
                }
            }
        }
        self.failing = result.is_err();
    }
}
