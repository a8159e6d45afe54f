//! The control plane over a directory: keys and tokens are files beside the objects, and there is one replica.

use super::args::{DirectoryArgs, SharedArgs};
use super::serve::{Parts, monitoring, own_identity, serve};
use crate::names;
use anyhow::Context;
use citadel::ca::CertificateAuthority;
use citadel::server::CertificateService;
use citadel::spiffe::TrustDomain;
use citadel::token::TokenIssuer;
use pilot::world::Mesh;
use pilot::{Pilot, PilotOptions, SourceOptions};
use record::Metrics;
use std::sync::Arc;

pub(super) async fn run(shared: SharedArgs, args: DirectoryArgs) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    metrics.watch_process();
    let config_dir = args.config_dir.context("--config-dir is missing")?;
    let state_dir = args.state_dir.context("--state-dir is missing")?;
    let trust_domain: TrustDomain = shared.trust_domain.parse()?;
    let authority = CertificateAuthority::load_or_create(&state_dir, trust_domain.clone())?;
    let authority = Arc::new(authority.with_max_ttl(shared.max_certificate_ttl));
    let tokens = Arc::new(TokenIssuer::load_or_create(&state_dir)?);
    let mesh = Mesh { trust_domain: shared.trust_domain.as_str().into(), ..Mesh::default() };
    let pilot = Pilot::start(PilotOptions { source: SourceOptions::Directory(config_dir), mesh }, &metrics)?;
    let certificates = CertificateService::new(authority.clone(), tokens, &metrics);
    // There is no cluster to say what it is called.
    let identity = own_identity(authority, &trust_domain, names::SYSTEM, names::DEFAULT_REVISION)?;
    let mut beside = monitoring(&shared, &pilot, &metrics)?;
    serve(shared, Parts { pilot, trust_domain, identity, certificates, metrics }, &mut beside).await
}
