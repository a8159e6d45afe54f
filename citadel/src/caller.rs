//! Who calls the CA: the service account of a bearer token, else the workload of a verified client certificate.

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::grpc::PeerInfo;
use crate::kubernetes::token_review;
use crate::spiffe::{SpiffeError, SpiffeId, TrustDomain};
use crate::token::{Caller, TokenError};
use crate::verifier::TokenVerifier;

/// Why a caller got no certificate for want of proof.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallerError {
    #[error(
        "no proof of identity: send `authorization: Bearer <token>` with a service account token for audience \"istio-ca\", or a client certificate of this mesh"
    )]
    NoProof,
    #[error("the request has {0} authorization headers, expected one of the form `Bearer <token>`")]
    Header(usize),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the token's service account cannot be an identity: {0}")]
    Name(#[from] SpiffeError),
    #[error("the client certificate is of {id}, and this CA signs for {trust_domain} only")]
    TrustDomain { id: SpiffeId, trust_domain: TrustDomain },
}

impl CallerError {
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoProof => "no_proof",
            Self::Header(_) => "token_malformed",
            Self::Token(error) => error.reason(),
            Self::Name(_) => "token_subject",
            Self::TrustDomain { .. } => "trust_domain",
        }
    }

    /// A proxy gives up on UNAUTHENTICATED and falls back on its certificate; it tries again on UNAVAILABLE.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Token(TokenError::Unavailable(_)) => Status::unavailable(self.to_string()),
            _ => Status::unauthenticated(self.to_string()),
        }
    }
}

/// A token that is present must be good: it is the fresher proof, so a bad one is not papered over by a certificate.
///
/// One that cannot be checked for want of the API server is neither. Then the certificate decides, which would be
/// enough without any token, provided that it is of the account that the token claims to be of.
pub(crate) async fn identify(
    metadata: &MetadataMap,
    peer: Option<&PeerInfo>,
    tokens: &TokenVerifier,
    trust_domain: &TrustDomain,
) -> Result<SpiffeId, CallerError> {
    let Some(token) = bearer_token(metadata)? else {
        return certified(peer, trust_domain);
    };
    let workload = |caller: &Caller| trust_domain.workload(&caller.namespace, &caller.service_account);
    let error = match tokens.verify(token).await {
        Ok(caller) => return Ok(workload(&caller)?),
        Err(error) => error,
    };
    if let TokenError::Unavailable(reason) = &error
        && let Ok(id) = certified(peer, trust_domain)
        && let Ok(claimed) = token_review::claimed(token)
        && workload(&claimed).is_ok_and(|claimed| claimed == id)
    {
        tracing::debug!(%id, "the token cannot be checked ({reason}); the client certificate proves the same account");
        return Ok(id);
    }
    Err(error.into())
}

fn certified(peer: Option<&PeerInfo>, trust_domain: &TrustDomain) -> Result<SpiffeId, CallerError> {
    let id = peer.and_then(|p| p.id.clone()).ok_or(CallerError::NoProof)?;
    if !id.is_in(trust_domain) {
        return Err(CallerError::TrustDomain { id, trust_domain: trust_domain.clone() });
    }
    Ok(id)
}

fn bearer_token(metadata: &MetadataMap) -> Result<Option<&str>, CallerError> {
    let mut headers = metadata.get_all("authorization").iter();
    let Some(header) = headers.next() else {
        return Ok(None);
    };
    let further = headers.count();
    let parts = header.to_str().ok().and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if further == 0 && scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(CallerError::Header(further + 1)),
    }
}
