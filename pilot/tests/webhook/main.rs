//! The webhooks as the API server meets them: over TLS, with good reviews and with hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod configuration;
mod cost;
mod fixture;
mod hostile;
mod injection;
mod validation;
