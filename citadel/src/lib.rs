//! Citadel: identity for the mesh. SPIFFE ids, the certificate authority and its API, the client that
//! fetches and renews, and every rustls configuration of the program. Keys are born where they are used.

pub mod api;
pub mod ca;
pub mod client;
pub mod grpc;
pub mod kubernetes;
pub mod own;
pub mod server;
pub mod spiffe;
pub mod tls;
pub mod token;

mod backoff;
mod caller;
mod credentials;
mod csr;
mod identity;
mod keystore;
mod known;
mod metrics;
mod peer;
mod renewal;
mod request;
mod verifier;

pub use credentials::{Credentials, CredentialsError};
pub use identity::{Identity, IdentityError};
pub use keystore::StateError;
pub use spiffe::{SpiffeId, TrustDomain};
pub use verifier::TokenVerifier;
