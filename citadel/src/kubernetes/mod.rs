//! What identity asks of a Kubernetes API server: whether a token is good, and where the CA's certificate and key are,
//! and which roots stand in the namespaces.

mod ca_pem;
mod ca_secret;
mod explain;
mod published;
mod review_cache;
mod silence;
pub(crate) mod token_review;

pub use ca_secret::{CaSecretOptions, CaStatus, OWN_SECRET, PLUGGED_SECRET, follow};
pub use explain::{explain, explain_watch};
pub use published::{ROOTS_CONFIG_MAP, ROOTS_KEY, roots_annotations};
pub use silence::{WATCH_SECONDS, bounded};
pub use token_review::TokenReviewer;
