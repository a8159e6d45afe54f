//! Tokens that prove to the CA which service account a workload runs as, for places without a Kubernetes API server:
//! JWTs of the shape of Kubernetes' projected tokens, signed by a key in the state directory.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::KeyPair;
use serde::{Deserialize, Serialize};

use crate::keystore::{StateDir, StateError};

/// The audience that the CA asks for (Istio's `TOKEN_AUDIENCES`).
pub const CA_AUDIENCE: &str = "istio-ca";
/// The signing key in the state directory.
pub const KEY_FILE: &str = "token-key.pem";

const ISSUER: &str = "meltemi";
const SUBJECT_PREFIX: &str = "system:serviceaccount:";
/// How far clocks may differ, in seconds.
pub(crate) const CLOCK_SKEW: u64 = 60;
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token was not issued or not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The library refused to sign.
    #[error("cannot sign a token: {0}")]
    Signing(String),
    /// Not a token that this issuer made.
    #[error("the token cannot be read: {0}")]
    Malformed(String),
    /// Signed by another key.
    #[error(
        "the token's signature is not by this control plane's key; was it made by another control plane or before its state was lost?"
    )]
    Signature,
    /// Too old.
    #[error("the token has expired; the proxy must be given a fresh one")]
    Expired,
    /// Not valid yet.
    #[error("the token is not valid yet; do the clocks differ by more than {CLOCK_SKEW} s?")]
    NotYet,
    /// For another service than the CA.
    #[error("the token is for another audience than {CA_AUDIENCE:?}")]
    Audience,
    /// The subject is no service account.
    #[error("the token's subject {0:?} is no service account (system:serviceaccount:<namespace>:<name>)")]
    Subject(String),
    /// Who issued it does not stand by it.
    #[error("the Kubernetes API server does not accept the token: {0}")]
    Refused(String),
    /// Nobody could be asked whether it is good; it may be.
    #[error("the token cannot be checked at the moment: {0}")]
    Unavailable(String),
}

impl TokenError {
    /// The value of the `reason` label of the refusal counter.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::State(_) | Self::Signing(_) => "internal",
            Self::Malformed(_) => "token_malformed",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet_valid",
            Self::Audience => "token_audience",
            Self::Subject(_) => "token_subject",
            Self::Refused(_) => "token_refused",
            Self::Unavailable(_) => "token_review_unavailable",
        }
    }
}

/// The service account that a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
}

impl Caller {
    /// From `system:serviceaccount:<namespace>:<name>`.
    pub(crate) fn from_subject(subject: &str) -> Result<Self, TokenError> {
        match subject.strip_prefix(SUBJECT_PREFIX).and_then(|rest| rest.split_once(':')) {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self { namespace: namespace.to_owned(), service_account: name.to_owned() })
            }
            _ => Err(TokenError::Subject(subject.to_owned())),
        }
    }
}

/// Every bearer token passes here first, whoever checks it then.
pub(crate) fn check_length(token: &str) -> Result<(), TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        let reason = format!("it has {} bytes, at most {MAX_TOKEN_BYTES} are accepted", token.len());
        return Err(TokenError::Malformed(reason));
    }
    Ok(())
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: String,
    aud: [&'a str; 1],
    iat: u64,
    nbf: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Subject {
    sub: String,
}

/// Issues and verifies tokens with one ES256 key.
pub struct TokenIssuer {
    signing: EncodingKey,
    verifying: DecodingKey,
    accepted: Validation,
}

impl TokenIssuer {
    /// Loads the key from the state directory, or makes one (P-256, mode 0600) and keeps it there.
    pub fn load_or_create(dir: &Path) -> Result<Self, TokenError> {
        let state = StateDir::open(dir)?;
        let key = match state.read_private(KEY_FILE)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(|e| StateError::Unusable {
                path: state.file(KEY_FILE),
                reason: format!("{e}; restore it, or remove it for a new one: all tokens must then be issued anew"),
            })?,
            None => {
                let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
                    .map_err(|e| TokenError::Signing(e.to_string()))?;
                state.write(KEY_FILE, &key.serialize_pem())?;
                key
            }
        };
        Ok(Self::new(&key))
    }

    fn new(key: &KeyPair) -> Self {
        let mut accepted = Validation::new(Algorithm::ES256);
        accepted.leeway = CLOCK_SKEW;
        accepted.validate_nbf = true;
        accepted.set_audience(&[CA_AUDIENCE]);
        accepted.set_issuer(&[ISSUER]);
        accepted.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        Self {
            signing: EncodingKey::from_ec_der(key.serialized_der()),
            verifying: DecodingKey::from_ec_der(key.public_key_raw()),
            accepted,
        }
    }

    /// A token for a service account, as Kubernetes' TokenRequest gives: subject
    /// `system:serviceaccount:<namespace>:<name>`, valid from now for `ttl`.
    pub fn issue(
        &self,
        namespace: &str,
        service_account: &str,
        audience: &str,
        ttl: Duration,
    ) -> Result<String, TokenError> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: ISSUER,
            sub: format!("{SUBJECT_PREFIX}{namespace}:{service_account}"),
            aud: [audience],
            iat: now,
            nbf: now,
            exp: now.saturating_add(ttl.as_secs()),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.signing)
            .map_err(|e| TokenError::Signing(e.to_string()))
    }

    /// The service account behind a token for the CA. Signature, issuer, audience, `exp` and `nbf` must be right.
    pub fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        check_length(token)?;
        let claims = jsonwebtoken::decode::<Subject>(token, &self.verifying, &self.accepted).map_err(refusal)?.claims;
        Caller::from_subject(&claims.sub)
    }
}

fn refusal(error: jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidSignature | ErrorKind::InvalidIssuer => TokenError::Signature,
        _ => TokenError::Malformed(error.to_string()),
    }
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer").finish_non_exhaustive()
    }
}
