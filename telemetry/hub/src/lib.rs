//! The telemetry hub: takes the proxies' OTLP reports, keeps what happened on each edge of the mesh in
//! bounded memory, and answers questions about it.
//!
//! A report travels: `receiver` (who may say it) → `ingest` (what it says, as own types) → `table`
//! (edges, each with a `history`) → `summary` (one figure per edge, nothing counted twice) → `api`.

mod api;
mod history;
mod hub;
mod identity;
mod ingest;
mod labels;
mod quantile;
mod receiver;
mod report;
mod summary;
mod table;
mod window;

pub use hub::{Hub, MeshState, WantedShare};
pub use receiver::{OtlpReceiver, PeerIdentity};
pub use report::{Edge, Report, Share};
pub use window::{BadWindow, Window};
