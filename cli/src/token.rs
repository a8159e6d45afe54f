//! `meltemi token`: a token for a service account, signed with the key in the control plane's state directory.

use anyhow::Context;
use citadel::token::TokenIssuer;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `meltemi token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The control plane's state directory.
    #[arg(long)]
    state_dir: PathBuf,
    /// Namespace of the service account.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The service account.
    #[arg(long, default_value = "default")]
    service_account: String,
    /// Who the token is for; the CA takes `istio-ca` alone.
    #[arg(long, default_value = "istio-ca")]
    audience: String,
    /// How long it is good.
    #[arg(long, default_value = "24h", value_parser = crate::duration::parse)]
    ttl: Duration,
}

/// Prints the token.
pub fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let issuer = TokenIssuer::load_or_create(&args.state_dir)
        .with_context(|| format!("state directory {}", args.state_dir.display()))?;
    println!("{}", issuer.issue(&args.namespace, &args.service_account, &args.audience, args.ttl)?);
    Ok(())
}
