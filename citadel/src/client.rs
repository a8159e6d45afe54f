//! Keeps this process's identity fresh: fetches a certificate from the CA and renews it at half of its life, without
//! touching a connection. Keys are made here, one for each certificate, and stay in memory.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::backoff::Backoff;
use crate::metrics::IdentityMetrics;
use crate::renewal::{SHORTEST_WAIT, sleep_until_due};
use crate::request::{self, RequestError};
use crate::spiffe::SpiffeId;
use crate::tls::Roots;

pub use crate::identity::{Identity, IdentityError};

/// Without a usable certificate no traffic flows, so the CA is asked at least this often.
const LONGEST_WAIT_WITHOUT: Duration = Duration::from_secs(8);

/// How often the file with the roots is looked at.
const LOOK_AT_ROOTS: Duration = Duration::from_secs(15);

/// Where the CA is and how to prove who we are.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `host:port` of the CA; a name is looked up at each connect.
    pub address: String,
    /// The DNS name that the CA's certificate must have.
    pub server_name: String,
    /// What the CA's certificate is verified against; a file is read at each renewal. Certificates of peers are
    /// verified against these and the roots that the CA answers with (the system's roots only serve the former).
    pub roots: Roots,
    /// A file with a token of audience `istio-ca`, read at each renewal. Without one only a certificate that is
    /// still good can be renewed.
    pub token_path: Option<PathBuf>,
    /// The life to ask for; the CA may give less. Zero leaves it to the CA.
    pub ttl: Duration,
    /// Who we believe to be; a certificate of somebody else is not accepted.
    pub expected: Option<SpiffeId>,
    /// SO_MARK for the connection to the CA.
    pub mark: Option<u32>,
}

/// Fetches and renews for ever; spawn it. Failures are logged, counted, and tried again after 1 s to 60 s.
pub async fn run(options: ClientOptions, identity: Identity, metrics: &record::Metrics) {
    let metrics = IdentityMetrics::new(metrics);
    let mut backoff = Backoff::new();
    loop {
        match request::fetch(&options, &identity).await {
            Ok(credentials) => {
                backoff.reset();
                metrics.renewed(credentials.not_after());
                let life = credentials.remaining(SystemTime::now());
                tracing::info!(id = %credentials.id(), ?life, "got a certificate");
                identity.replace(credentials);
                tokio::select! {
                    () = sleep_until_due(life) => {}
                    () = follow_roots(&options, &identity) => {}
                }
            }
            Err(error) => {
                metrics.failed();
                let wait = backoff.wait(longest_wait(&identity));
                report(&options, &identity, &error, wait);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// A root that was added to the file is trusted long before the certificate is due, so that peers whose certificates
/// are under it can talk to us. One that was taken out is dropped with the next certificate. Never ends.
async fn follow_roots(options: &ClientOptions, identity: &Identity) {
    loop {
        tokio::time::sleep(LOOK_AT_ROOTS).await;
        let Some(current) = identity.current() else { continue };
        match request::with_added_roots(options, &current) {
            Ok(Some(credentials)) => {
                tracing::info!(roots = credentials.roots().len(), "roots were added");
                identity.replace(credentials);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!("cannot look for new roots: {error}"),
        }
    }
}

/// While the certificate is good there must be several more tries in the rest of its life.
fn longest_wait(identity: &Identity) -> Duration {
    let rest = identity.usable().map(|c| c.remaining(SystemTime::now())).unwrap_or_default();
    if rest.is_zero() { LONGEST_WAIT_WITHOUT } else { (rest / 4).max(SHORTEST_WAIT) }
}

fn report(options: &ClientOptions, identity: &Identity, error: &RequestError, wait: Duration) {
    let ca = &options.address;
    match identity.usable() {
        Ok(credentials) => {
            let left = credentials.remaining(SystemTime::now());
            tracing::warn!(%ca, valid_for = ?left, retry_in = ?wait, "cannot renew the certificate: {error}");
        }
        Err(_) => tracing::error!(%ca, retry_in = ?wait, "no certificate, so no mTLS: {error}"),
    }
}
