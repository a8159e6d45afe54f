//! One request to the CA: a new key, a CSR with nothing in it but that key, and a check of what came back.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::api::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};
use crate::client::ClientOptions;
use crate::credentials::{self, Credentials, CredentialsError};
use crate::grpc::{self, ConnectError};
use crate::identity::Identity;
use crate::spiffe::SpiffeId;
use crate::tls::{self, TlsError};

/// For connecting, asking and answering together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why no certificate was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot make a key or CSR: {0}")]
    Key(#[from] rcgen::Error),
    #[error("there is nothing to prove our identity with: no usable certificate yet, and {0}")]
    NoProof(String),
    #[error("the CA refused: {} ({:?})", .0.message(), .0.code())]
    Refused(Box<Status>),
    #[error("the CA did not answer within {TIMEOUT:?}")]
    Timeout,
    #[error("the CA answered with {0} certificates, expected a chain that ends with the root")]
    ShortChain(usize),
    #[error("the CA's answer cannot be used: {0}")]
    Answer(#[from] CredentialsError),
    #[error("the CA gave us a certificate of {given}, but this workload is {expected}; does the token belong to it?")]
    OtherIdentity { given: SpiffeId, expected: SpiffeId },
    #[error(
        "the certificate that the CA gave us has already expired; are the clocks of this machine and of the CA right?"
    )]
    BornExpired,
}

impl RequestError {
    /// The connection was not made, or was lost. In TLS 1.3 a client learns that its certificate was refused when it
    /// first reads, so that looks the same.
    fn is_without_answer(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Refused(status) => status.source().is_some(),
            _ => false,
        }
    }
}

/// Fetches credentials. A token is the proof, when there is one that can be read; else, or when the CA does not
/// accept it, the current certificate is.
pub(crate) async fn fetch(options: &ClientOptions, identity: &Identity) -> Result<Credentials, RequestError> {
    let work = async {
        let has_certificate = identity.usable().is_ok();
        let tls = tls::control_plane_client(&options.roots, identity)?;
        let refused = match fetch_over(options, tls, has_certificate).await {
            Err(error) if has_certificate && error.is_without_answer() && token(options).is_ok() => error,
            answer => return answer,
        };
        // A CA that does not know the root of our certificate closes the connection before it looks at the token.
        let tls = tls::anonymous_control_plane_client(&options.roots, identity)?;
        match fetch_over(options, tls, false).await {
            Ok(credentials) => {
                tracing::warn!("the CA took our token alone; with our certificate: {refused}");
                Ok(credentials)
            }
            Err(_) => Err(refused),
        }
    };
    tokio::time::timeout(TIMEOUT, work).await.map_err(|_| RequestError::Timeout)?
}

async fn fetch_over(
    options: &ClientOptions,
    tls: Arc<ClientConfig>,
    has_certificate: bool,
) -> Result<Credentials, RequestError> {
    let address = options.address.as_str();
    let channel = grpc::connect(address, tls, &options.server_name, options.mark).await?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let chain = ask(options, has_certificate, channel, csr(&key)?).await?;
    accept(options, &key, &chain)
}

fn csr(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key)?.pem()
}

async fn ask(
    options: &ClientOptions,
    has_certificate: bool,
    channel: Channel,
    csr: String,
) -> Result<Vec<String>, RequestError> {
    let validity_duration = i64::try_from(options.ttl.as_secs()).unwrap_or(i64::MAX);
    let message = CertificateRequest { csr, validity_duration, metadata: None };
    let answer = match token(options) {
        Ok(token) => {
            let mut request = Request::new(message.clone());
            request.metadata_mut().insert("authorization", token);
            match call(channel.clone(), request).await {
                Err(status) if status.code() == Code::Unauthenticated && has_certificate => {
                    tracing::warn!("the CA refused our token, trying our certificate: {}", status.message());
                    call(channel, Request::new(message)).await
                }
                answer => answer,
            }
        }
        Err(_) if has_certificate => call(channel, Request::new(message)).await,
        Err(reason) => return Err(RequestError::NoProof(reason)),
    };
    Ok(answer.map_err(|status| RequestError::Refused(Box::new(status)))?.cert_chain)
}

/// Read anew each time: whoever issues the token replaces the file before it expires.
fn token(options: &ClientOptions) -> Result<MetadataValue<Ascii>, String> {
    let path = options.token_path.as_ref().ok_or("no token file was configured")?;
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("the token file {} cannot be read: {e}", path.display()))?;
    let mut value = MetadataValue::try_from(format!("Bearer {}", text.trim()))
        .map_err(|_| format!("the token file {} holds no token", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn call(channel: Channel, request: Request<CertificateRequest>) -> Result<CertificateResponse, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|e| Status::from_error(e.into()))?;
    let path = PathAndQuery::from_static(CREATE_CERTIFICATE);
    let answer = client.unary(request, path, ProstCodec::default()).await?;
    Ok(answer.into_inner())
}

fn accept(options: &ClientOptions, key: &KeyPair, chain: &[String]) -> Result<Credentials, RequestError> {
    let (Some(root), true) = (chain.last(), chain.len() > 1) else {
        return Err(RequestError::ShortChain(chain.len()));
    };
    let mut roots = credentials::certificates("roots", root)?;
    let mut certificates = Vec::new();
    for pem in &chain[..chain.len() - 1] {
        certificates.extend(credentials::certificates("certificate chain", pem)?);
    }
    certificates.retain(|certificate| !roots.contains(certificate));
    add_configured_roots(options, &mut roots)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let credentials = Credentials::new(certificates, key, roots)?;
    check(options, &credentials)?;
    Ok(credentials)
}

/// During a change of roots the answer may name the new one only, while peers still hold certificates of the old.
fn add_configured_roots(options: &ClientOptions, roots: &mut Vec<CertificateDer<'static>>) -> Result<(), TlsError> {
    if options.roots == tls::Roots::System {
        return Ok(());
    }
    for root in options.roots.certificates()? {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    Ok(())
}

/// The same credentials with roots that stand in the configured file and not in them; `None` without any.
pub(crate) fn with_added_roots(
    options: &ClientOptions,
    current: &Credentials,
) -> Result<Option<Credentials>, RequestError> {
    let mut roots = current.roots().to_vec();
    add_configured_roots(options, &mut roots)?;
    if roots.len() == current.roots().len() {
        return Ok(None);
    }
    Ok(Some(current.with_roots(roots)?))
}

fn check(options: &ClientOptions, credentials: &Credentials) -> Result<(), RequestError> {
    if let Some(expected) = &options.expected
        && expected != credentials.id()
    {
        let (given, expected) = (credentials.id().clone(), expected.clone());
        return Err(RequestError::OtherIdentity { given, expected });
    }
    if credentials.remaining(SystemTime::now()).is_zero() {
        return Err(RequestError::BornExpired);
    }
    Ok(credentials.verify_chain()?)
}
