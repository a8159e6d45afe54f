//! What identity asks of a Kubernetes API server: whether a token is good, and where the CA's certificate and key are.

mod ca_pem;
mod ca_secret;
mod explain;
mod review_cache;
pub(crate) mod token_review;

pub use ca_secret::{CaSecretOptions, CaStatus, OWN_SECRET, PLUGGED_SECRET, follow};
pub use explain::{explain, explain_watch};
pub use token_review::TokenReviewer;
