//! TLS to servers that are known by a DNS name or another given name: services outside the mesh (`mode: SIMPLE`),
//! and the CA before this process has an identity.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::resolver::CurrentCertificate;
use super::verify::{refuse, signature};
use super::{MESH_VERSIONS, Roots, TlsError, alpn, provider};
use crate::identity::Identity;
use crate::peer;

/// A client without a certificate, TLS 1.2 and 1.3. With `names` empty the server's certificate must be good for the
/// server name of the connection (its SNI), else for one of `names`: DNS names, IP addresses, or URIs
/// (DestinationRule `tls.subjectAltNames`).
pub fn simple_client(roots: &Roots, names: &[String], alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = NameVerifier { roots: roots.store()?, further_roots: None, names: names.to_vec() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn::owned(alpn);
    Ok(Arc::new(config))
}

/// To the control plane, its CA included: TLS 1.3, ALPN `h2`. The server is known by its DNS name under `roots` or
/// the roots that `identity` holds at the time; the identity's certificate is shown if there is one that is good.
pub fn control_plane_client(roots: &Roots, identity: &Identity) -> Result<Arc<ClientConfig>, TlsError> {
    to_control_plane(roots, identity, identity)
}

/// The same, but it shows no certificate.
pub(crate) fn anonymous_control_plane_client(
    roots: &Roots,
    identity: &Identity,
) -> Result<Arc<ClientConfig>, TlsError> {
    to_control_plane(roots, identity, &Identity::empty())
}

fn to_control_plane(roots: &Roots, trusting: &Identity, showing: &Identity) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = NameVerifier { roots: roots.store()?, further_roots: Some(trusting.clone()), names: Vec::new() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(MESH_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(CurrentCertificate::new(showing)));
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn::owned(&[b"h2"]);
    Ok(Arc::new(config))
}

/// Why a server's certificate was refused.
#[derive(thiserror::Error)]
enum ServerRefused {
    #[error("the certificate of {server} is not good under the given roots: {reason}")]
    Chain { server: String, reason: Error },
    #[error("{server} presented a certificate for another name: {reason}")]
    ServerName { server: String, reason: Error },
    #[error("{server} presented a certificate that is for none of the expected names {expected:?}")]
    Names { server: String, expected: Vec<String> },
}

/// rustls prints the inner error of a refusal by `Debug`, so `Debug` is the text for people.
impl fmt::Debug for ServerRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[derive(Debug)]
struct NameVerifier {
    roots: Arc<RootCertStore>,
    /// Roots that change while the configuration lives.
    further_roots: Option<Identity>,
    names: Vec<String>,
}

impl NameVerifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), ServerRefused> {
        let server = server_name.to_str().into_owned();
        let chain = |reason| ServerRefused::Chain { server: server.clone(), reason };
        let parsed = ParsedCertificate::try_from(leaf).map_err(chain)?;
        self.check_chain(&parsed, intermediates, now).map_err(chain)?;
        if self.names.is_empty() {
            return verify_server_name(&parsed, server_name)
                .map_err(|reason| ServerRefused::ServerName { server, reason });
        }
        if self.names.iter().any(|name| is_for(&parsed, leaf, name)) {
            return Ok(());
        }
        Err(ServerRefused::Names { server, expected: self.names.clone() })
    }

    fn check_chain(
        &self,
        leaf: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let algorithms = provider().signature_verification_algorithms.all;
        let leads_to = |roots| verify_server_cert_signed_by_trust_anchor(leaf, roots, intermediates, now, algorithms);
        let refused = match leads_to(&self.roots) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        match self.further_roots.as_ref().and_then(Identity::current) {
            Some(credentials) => leads_to(credentials.anchors()),
            None => Err(refused),
        }
    }
}

fn is_for(parsed: &ParsedCertificate<'_>, leaf: &CertificateDer<'_>, name: &str) -> bool {
    if name.contains("://") {
        return peer::uri_names(leaf).is_ok_and(|uris| uris.iter().any(|uri| uri == name));
    }
    ServerName::try_from(name).is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
}

impl ServerCertVerifier for NameVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, server_name, now).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signature::schemes()
    }
}
