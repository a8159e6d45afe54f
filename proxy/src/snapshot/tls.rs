//! `UpstreamTlsContext` and `DownstreamTlsContext`. Which certificates they name, not what is in them: the workload's own
//! (`default`) and the mesh's roots (`ROOTCA`) live in this process.

use xds::tls::tls_parameters::TlsProtocol;
use xds::tls::{CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsParameters, UpstreamTlsContext};

use super::field::truth;
use super::reason::{Reason, Under, none_set};
use super::tls_validation::{self, Names, Roots, Validation};
use crate::model::{DownstreamTls, UpstreamTls};

/// The SDS name of the workload's own certificate.
const OWN: &str = "default";

/// Compiles TLS towards upstreams.
pub(super) fn upstream(context: &UpstreamTlsContext) -> Result<UpstreamTls, Reason> {
    none_set(&[
        ("auto_host_sni", context.auto_host_sni),
        ("auto_sni_san_validation", context.auto_sni_san_validation),
        ("allow_renegotiation", context.allow_renegotiation),
    ])?;
    let none = CommonTlsContext::default();
    let common = context.common_tls_context.as_ref().unwrap_or(&none);
    let mutual = certificate(common).under("common_tls_context")?;
    let validation = tls_validation::compile(common).under("common_tls_context")?;
    parameters(common.tls_params.as_ref(), TlsProtocol::TlSv12).under("common_tls_context.tls_params")?;
    let (ca_file, insecure) = trusted(&validation, mutual).under("common_tls_context")?;
    let (peer_names, trust_domains) = match validation.map(|validation| validation.names).unwrap_or_default() {
        Names::Exact(names) => (names, Vec::new()),
        Names::TrustDomains(domains) => (Vec::new(), domains),
    };
    Ok(UpstreamTls {
        mutual,
        alpn: alpn(common),
        sni: (!context.sni.is_empty()).then(|| context.sni.as_str().into()),
        peer_names,
        trust_domains,
        ca_file,
        insecure,
    })
}

/// The CA file, if it is not the mesh's roots or the system's; and whether nothing is checked.
fn trusted(validation: &Option<Validation>, mutual: bool) -> Result<(Option<Box<str>>, bool), Reason> {
    const FIELD: &str = "validation_context_type";
    match validation.as_ref().map(|validation| &validation.roots) {
        Some(Roots::Mesh) if mutual => Ok((None, false)),
        Some(Roots::Mesh) => {
            Err(Reason::at(FIELD, "the mesh's roots without the workload's certificate are not supported"))
        }
        Some(_) if mutual => Err(Reason::at(
            FIELD,
            "the workload's certificate is shown to peers of the mesh alone, whose roots are ROOTCA",
        )),
        Some(Roots::System) => Ok((None, false)),
        Some(Roots::File(path)) => Ok((Some(path.clone()), false)),
        None if mutual => Err(Reason::at(FIELD, "is missing; a peer of the mesh has to be verified")),
        Some(Roots::Anyone) | None => Ok((None, true)),
    }
}

/// Compiles the termination of TLS.
pub(super) fn downstream(context: &DownstreamTlsContext) -> Result<DownstreamTls, Reason> {
    none_set(&[("require_sni", truth(context.require_sni.as_ref(), false))])?;
    let none = CommonTlsContext::default();
    let common = context.common_tls_context.as_ref().unwrap_or(&none);
    if !certificate(common).under("common_tls_context")? {
        let why = "names no certificate; the workload's own, `default`, is the only one there is";
        return Err(Reason::at("common_tls_context.tls_certificate_sds_secret_configs", why));
    }
    parameters(common.tls_params.as_ref(), TlsProtocol::TlSv13).under("common_tls_context.tls_params")?;
    let validation = tls_validation::compile(common).under("common_tls_context")?;
    let trust_domains = match validation {
        None => Vec::new(),
        Some(Validation { roots: Roots::Mesh, names: Names::TrustDomains(domains) }) => domains,
        Some(Validation { roots: Roots::Mesh, names: Names::Exact(_) }) => {
            let why = "only trust domains, as prefix `spiffe://<trust domain>/`, are supported by this proxy";
            return Err(Reason::at("common_tls_context.match_typed_subject_alt_names", why));
        }
        Some(_) => {
            return Err(Reason::at(
                "common_tls_context.validation_context_type",
                "clients are verified by ROOTCA alone",
            ));
        }
    };
    Ok(DownstreamTls {
        require_client_certificate: truth(context.require_client_certificate.as_ref(), false),
        alpn: alpn(common),
        trust_domains,
    })
}

fn alpn(common: &CommonTlsContext) -> Vec<Box<str>> {
    common.alpn_protocols.iter().map(|name| name.as_str().into()).collect()
}

/// Whether the workload's own certificate is shown.
#[allow(deprecated)]
fn certificate(common: &CommonTlsContext) -> Result<bool, Reason> {
    none_set(&[
        ("tls_certificates", !common.tls_certificates.is_empty()),
        ("tls_certificate_provider_instance", common.tls_certificate_provider_instance.is_some()),
        ("custom_tls_certificate_selector", common.custom_tls_certificate_selector.is_some()),
        ("tls_certificate_certificate_provider", common.tls_certificate_certificate_provider.is_some()),
        (
            "tls_certificate_certificate_provider_instance",
            common.tls_certificate_certificate_provider_instance.is_some(),
        ),
        ("custom_handshaker", common.custom_handshaker.is_some()),
        ("key_log", common.key_log.is_some()),
    ])?;
    match common.tls_certificate_sds_secret_configs.as_slice() {
        [] => Ok(false),
        [SdsSecretConfig { name, .. }] if name == OWN => Ok(true),
        configs => {
            let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
            let why = format!("{names:?}: only the workload's own certificate, `default`, is supported by this proxy");
            Err(Reason::at("tls_certificate_sds_secret_configs", why))
        }
    }
}

/// Versions: those that this proxy speaks must be allowed. Ciphers and curves are the proxy's own choice.
fn parameters(parameters: Option<&TlsParameters>, least: TlsProtocol) -> Result<(), Reason> {
    let Some(parameters) = parameters else { return Ok(()) };
    let most = parameters.tls_maximum_protocol_version;
    if most != TlsProtocol::TlsAuto as i32 && most < least as i32 {
        return Err(Reason::at(
            "tls_maximum_protocol_version",
            format!("this proxy speaks {} or newer", least.as_str_name()),
        ));
    }
    Ok(())
}
