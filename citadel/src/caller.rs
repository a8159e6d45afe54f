//! Who calls the CA: the service account of a bearer token, else the workload of a verified client certificate.

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::grpc::PeerInfo;
use crate::spiffe::{SpiffeError, SpiffeId, TrustDomain};
use crate::token::{TokenError, TokenIssuer};

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

    pub(crate) fn status(&self) -> Status {
        Status::unauthenticated(self.to_string())
    }
}

/// A token that is present must be good: it is the fresher proof, so a bad one is not papered over by a certificate.
pub(crate) fn identify(
    metadata: &MetadataMap,
    peer: Option<&PeerInfo>,
    tokens: &TokenIssuer,
    trust_domain: &TrustDomain,
) -> Result<SpiffeId, CallerError> {
    if let Some(token) = bearer_token(metadata)? {
        let caller = tokens.verify(token)?;
        return Ok(trust_domain.workload(&caller.namespace, &caller.service_account)?);
    }
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
