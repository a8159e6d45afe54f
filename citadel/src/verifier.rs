//! Who checks the tokens that workloads prove their service account with.

use std::sync::Arc;

use crate::kubernetes::TokenReviewer;
use crate::token::{Caller, TokenError, TokenIssuer};

/// Checks bearer tokens.
#[derive(Debug, Clone)]
pub enum TokenVerifier {
    /// Tokens that this control plane issued itself, in places without Kubernetes.
    Issuer(Arc<TokenIssuer>),
    /// Projected tokens of a cluster, checked by its API server.
    Review(TokenReviewer),
}

impl TokenVerifier {
    /// The service account behind a token for the CA.
    pub(crate) async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        match self {
            Self::Issuer(issuer) => issuer.verify(token),
            Self::Review(reviewer) => reviewer.verify(token).await,
        }
    }
}

impl From<Arc<TokenIssuer>> for TokenVerifier {
    fn from(issuer: Arc<TokenIssuer>) -> Self {
        Self::Issuer(issuer)
    }
}

impl From<TokenReviewer> for TokenVerifier {
    fn from(reviewer: TokenReviewer) -> Self {
        Self::Review(reviewer)
    }
}
