//! The OTLP door: who may report, and what a reporter is told.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsService;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use record::LogLimit;
use tonic::{Extensions, Request, Response, Status};

use crate::hub::Hub;
use crate::identity::{NotYou, Peer};
use crate::ingest::{self, BadReport, Reading};

/// Gives the SPIFFE id that the peer's certificate proves, from a request's extensions.
pub type PeerIdentity = fn(&Extensions) -> Option<String>;

/// The OTLP metrics service; made by [`Hub::metrics_service`].
pub struct OtlpReceiver {
    hub: Hub,
    peer: PeerIdentity,
}

impl OtlpReceiver {
    pub(crate) fn new(hub: Hub, peer: PeerIdentity) -> Self {
        Self { hub, peer }
    }

    fn read(&self, request: &Request<ExportMetricsServiceRequest>) -> Result<(Peer, Reading), BadReport> {
        let peer = Peer::new((self.peer)(request.extensions()))?;
        let reading = ingest::read(request.get_ref(), &peer)?;
        Ok((peer, reading))
    }
}

#[tonic::async_trait]
impl MetricsService for OtlpReceiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        match self.read(&request) {
            Ok((peer, mut reading)) => {
                self.hub.note_refused_points(reading.refused);
                self.hub.take(&peer, &mut reading);
                Ok(Response::new(answer(reading)))
            }
            Err(error) => {
                static REFUSED: LogLimit = LogLimit::new(Duration::from_secs(10));
                self.hub.note_refused_report();
                if let Some(suppressed) = REFUSED.admit() {
                    tracing::warn!(%error, peer = (self.peer)(request.extensions()), suppressed, "a metrics report was refused");
                }
                Err(status(&error))
            }
        }
    }
}

fn answer(reading: Reading) -> ExportMetricsServiceResponse {
    let partial_success = (reading.refused > 0).then(|| ExportMetricsPartialSuccess {
        rejected_data_points: i64::try_from(reading.refused).unwrap_or(i64::MAX),
        error_message: reading.reason.unwrap_or_default(),
    });
    ExportMetricsServiceResponse { partial_success }
}

fn status(error: &BadReport) -> Status {
    match error {
        BadReport::NotYou(NotYou::NoCertificate) => Status::unauthenticated(error.to_string()),
        BadReport::NotYou(_) => Status::permission_denied(error.to_string()),
        BadReport::NotDelta(_) | BadReport::WrongKind(_) => Status::invalid_argument(error.to_string()),
    }
}
