//! `validation_context_type`: by which roots a TLS peer is verified, and which names it may have.

use xds::core::data_source::Specifier;
use xds::matcher::string_matcher::MatchPattern;
use xds::tls::certificate_validation_context::TrustChainVerification;
use xds::tls::common_tls_context::ValidationContextType;
use xds::tls::subject_alt_name_matcher::SanType;
use xds::tls::{CertificateValidationContext, CommonTlsContext};

use super::field::truth;
use super::reason::{Reason, Under, none_set};

/// The SDS name of the mesh's roots.
const MESH_ROOTS: &str = "ROOTCA";
/// Istio's SDS names for roots in a file; `system` is no file.
const FILE_PREFIX: &str = "file-root:";
/// Where Debian and its kin keep the system's roots: what control planes write for "the system's".
const SYSTEM_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// By which roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    Mesh,
    System,
    File(Box<str>),
    /// None: whoever answers is believed.
    Anyone,
}

/// Which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// One of these.
    Exact(Vec<Box<str>>),
    /// Any identity of these trust domains; empty: of the proxy's own, or, outside of the mesh, the server's DNS name.
    TrustDomains(Vec<Box<str>>),
}

impl Default for Names {
    fn default() -> Self {
        Self::TrustDomains(Vec::new())
    }
}

/// How a peer is verified.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) roots: Roots,
    pub(super) names: Names,
}

/// Compiles the validation; `None` if there is none.
#[allow(deprecated)]
pub(super) fn compile(common: &CommonTlsContext) -> Result<Option<Validation>, Reason> {
    match &common.validation_context_type {
        None => Ok(None),
        Some(ValidationContextType::ValidationContext(context)) => {
            let names = names(context).under("validation_context")?;
            Ok(Some(Validation { roots: roots(context).under("validation_context")?, names }))
        }
        Some(ValidationContextType::ValidationContextSdsSecretConfig(secret)) => {
            let roots = named(&secret.name).under("validation_context_sds_secret_config")?;
            Ok(Some(Validation { roots, names: Names::default() }))
        }
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined_context(combined).map(Some).under("combined_validation_context")
        }
        Some(ValidationContextType::ValidationContextCertificateProvider(_)) => {
            Err(Reason::unsupported("validation_context_certificate_provider"))
        }
        Some(ValidationContextType::ValidationContextCertificateProviderInstance(_)) => {
            Err(Reason::unsupported("validation_context_certificate_provider_instance"))
        }
    }
}

fn combined_context(
    combined: &xds::tls::common_tls_context::CombinedCertificateValidationContext,
) -> Result<Validation, Reason> {
    let none = CertificateValidationContext::default();
    let context = combined.default_validation_context.as_ref().unwrap_or(&none);
    let names = names(context).under("default_validation_context")?;
    let roots = match &combined.validation_context_sds_secret_config {
        Some(secret) => {
            none_set(&[("trusted_ca", context.trusted_ca.is_some())]).under("default_validation_context")?;
            named(&secret.name).under("validation_context_sds_secret_config")?
        }
        None => roots(context).under("default_validation_context")?,
    };
    Ok(Validation { roots, names })
}

fn named(name: &str) -> Result<Roots, Reason> {
    match name.strip_prefix(FILE_PREFIX) {
        _ if name == MESH_ROOTS => Ok(Roots::Mesh),
        Some("system") => Ok(Roots::System),
        Some(path) if !path.is_empty() => Ok(file(path)),
        _ => Err(Reason::at("name", format!("{name:?}: only `ROOTCA` and `file-root:<path>` are known to this proxy"))),
    }
}

fn file(path: &str) -> Roots {
    if path == SYSTEM_FILE { Roots::System } else { Roots::File(path.into()) }
}

fn roots(context: &CertificateValidationContext) -> Result<Roots, Reason> {
    let unverified = context.trust_chain_verification == TrustChainVerification::AcceptUntrusted as i32;
    match context.trusted_ca.as_ref().and_then(|source| source.specifier.as_ref()) {
        Some(_) | None if unverified => Ok(Roots::Anyone),
        Some(Specifier::Filename(path)) => Ok(file(path)),
        Some(_) => Err(Reason::at("trusted_ca", "only a file is supported by this proxy")),
        None if context.system_root_certs.is_some() => Ok(Roots::System),
        None => Ok(Roots::Anyone),
    }
}

#[allow(deprecated)]
fn names(context: &CertificateValidationContext) -> Result<Names, Reason> {
    none_set(&[
        ("ca_certificate_provider_instance", context.ca_certificate_provider_instance.is_some()),
        ("verify_certificate_spki", !context.verify_certificate_spki.is_empty()),
        ("verify_certificate_hash", !context.verify_certificate_hash.is_empty()),
        ("require_signed_certificate_timestamp", truth(context.require_signed_certificate_timestamp.as_ref(), false)),
        ("crl", context.crl.is_some()),
        ("allow_expired_certificate", context.allow_expired_certificate),
        ("custom_validator_config", context.custom_validator_config.is_some()),
    ])?;
    let mut all = Vec::new();
    for matcher in &context.match_typed_subject_alt_names {
        let field = "match_typed_subject_alt_names";
        if matcher.san_type == SanType::Email as i32 || matcher.san_type == SanType::OtherName as i32 {
            return Err(Reason::at(field, "only names of type URI, DNS and IP_ADDRESS are supported by this proxy"));
        }
        all.push((field, matcher.matcher.as_ref()));
    }
    all.extend(context.match_subject_alt_names.iter().map(|matcher| ("match_subject_alt_names", Some(matcher))));
    collect(&all)
}

/// Either exact names, or whole trust domains: both in one list could not be told apart by what verifies peers.
fn collect(matchers: &[(&str, Option<&xds::matcher::StringMatcher>)]) -> Result<Names, Reason> {
    let (mut exact, mut domains) = (Vec::new(), Vec::new());
    for (field, matcher) in matchers {
        match matcher.and_then(|matcher| matcher.match_pattern.as_ref()) {
            Some(MatchPattern::Exact(name)) if !name.is_empty() => exact.push(name.as_str().into()),
            Some(MatchPattern::Prefix(prefix)) => domains.push(trust_domain(prefix).under(field)?),
            _ => {
                return Err(Reason::at(
                    *field,
                    "only exact names and `spiffe://<trust domain>/` are supported by this proxy",
                ));
            }
        }
    }
    match (exact.is_empty(), domains.is_empty()) {
        (true, _) => Ok(Names::TrustDomains(domains)),
        (false, true) => Ok(Names::Exact(exact)),
        (false, false) => Err(Reason::at(
            "match_typed_subject_alt_names",
            "exact names beside a whole trust domain are not supported",
        )),
    }
}

fn trust_domain(prefix: &str) -> Result<Box<str>, Reason> {
    let domain = prefix.strip_prefix("spiffe://").and_then(|rest| rest.strip_suffix('/'));
    match domain.filter(|domain| !domain.is_empty() && !domain.contains('/')) {
        Some(domain) => Ok(domain.into()),
        None => Err(Reason::new(format!("prefix {prefix:?} is not `spiffe://<trust domain>/`"))),
    }
}
