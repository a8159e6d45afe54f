//! The CA's gRPC service, `istio.v1.auth.IstioCertificateService`: what the caller proves to be goes into the
//! certificate, what the CSR says does not.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use prost_types::value::Kind;
use tonic::codegen::{Body, BoxFuture, Service, StdError};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::api::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};
use crate::ca::{Authority, CaError};
use crate::caller;
use crate::grpc::PeerInfo;
use crate::metrics::CaMetrics;
use crate::spiffe::SpiffeId;
use crate::verifier::TokenVerifier;
use record::LogLimit;

/// Serves certificates. Clones share one state; add it to a tonic router.
#[derive(Clone)]
pub struct CertificateService(Arc<State>);

struct State {
    authority: Authority,
    tokens: TokenVerifier,
    metrics: CaMetrics,
    refusals: LogLimit,
}

struct Refusal {
    reason: &'static str,
    status: Status,
}

impl CertificateService {
    /// Signs with the CA in force for those whom `tokens` or their client certificate vouch for.
    pub fn new(authority: impl Into<Authority>, tokens: impl Into<TokenVerifier>, metrics: &record::Metrics) -> Self {
        let (authority, tokens) = (authority.into(), tokens.into());
        let metrics = CaMetrics::new(metrics);
        metrics.in_force(&authority.current());
        Self(Arc::new(State { authority, tokens, metrics, refusals: LogLimit::new(Duration::from_secs(1)) }))
    }

    async fn create(self, request: Request<CertificateRequest>) -> Result<Response<CertificateResponse>, Status> {
        let state = &self.0;
        state.metrics.requested();
        let remote = request.extensions().get::<PeerInfo>().map(|peer| peer.remote);
        match state.sign(&request).await {
            Ok((id, cert_chain)) => {
                state.metrics.issued();
                tracing::debug!(%id, "signed a certificate");
                Ok(Response::new(CertificateResponse { cert_chain }))
            }
            Err(refusal) => {
                state.metrics.refused(refusal.reason);
                if let Some(left_out) = state.refusals.admit() {
                    let text = refusal.status.message();
                    tracing::warn!(?remote, reason = refusal.reason, left_out, "refused to sign: {text}");
                }
                Err(refusal.status)
            }
        }
    }
}

impl State {
    async fn sign(&self, request: &Request<CertificateRequest>) -> Result<(SpiffeId, Vec<String>), Refusal> {
        let peer = request.extensions().get::<PeerInfo>();
        let ca = self.authority.current();
        let id = caller::identify(request.metadata(), peer, &self.tokens, ca.trust_domain())
            .await
            .map_err(|e| Refusal { reason: e.reason(), status: e.status() })?;
        let message = request.get_ref();
        refuse_impersonation(&id, message)?;
        let ttl = Duration::from_secs(message.validity_duration.try_into().unwrap_or(0));
        let chain = ca.sign_workload(&message.csr, &id, ttl).map_err(|e| refusal(&e))?;
        Ok((id, chain))
    }
}

/// Istio lets node agents ask on behalf of others; nobody may here, and silence would hand out the wrong identity.
fn refuse_impersonation(id: &SpiffeId, message: &CertificateRequest) -> Result<(), Refusal> {
    let wanted = message
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.fields.get("ImpersonatedIdentity"))
        .and_then(|value| value.kind.as_ref());
    match wanted {
        None | Some(Kind::NullValue(_)) => Ok(()),
        Some(Kind::StringValue(text)) if text.is_empty() || text == id.as_str() => Ok(()),
        Some(_) => Err(Refusal {
            reason: "impersonation",
            status: Status::permission_denied(format!(
                "{id} may not ask for another identity's certificate (metadata field ImpersonatedIdentity)"
            )),
        }),
    }
}

fn refusal(error: &CaError) -> Refusal {
    let text = error.to_string();
    match error {
        CaError::Csr(csr) => Refusal { reason: csr.reason(), status: Status::invalid_argument(text) },
        CaError::TrustDomain { .. } => Refusal { reason: "trust_domain", status: Status::permission_denied(text) },
        CaError::Expired { .. } => Refusal { reason: "root_expired", status: Status::failed_precondition(text) },
        _ => Refusal { reason: "internal", status: Status::internal(text) },
    }
}

impl UnaryService<CertificateRequest> for CertificateService {
    type Response = CertificateResponse;
    type Future = BoxFuture<Response<CertificateResponse>, Status>;

    fn call(&mut self, request: Request<CertificateRequest>) -> Self::Future {
        Box::pin(self.clone().create(request))
    }
}

impl<B> Service<http::Request<B>> for CertificateService
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != CREATE_CERTIFICATE {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(service, request).await)
        })
    }
}

impl NamedService for CertificateService {
    const NAME: &'static str = "istio.v1.auth.IstioCertificateService";
}
