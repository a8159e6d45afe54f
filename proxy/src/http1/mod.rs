//! HTTP/1.1 on the wire, both sides. A connection is driven by whoever uses it: there is no task and no channel between
//! the downstream's socket and the upstream's, and a head is read and judged once.
//!
//! [`head`] parses, [`framing`] and [`chunked`] say where bodies end, [`encode`] and [`outgoing`] write, [`server`] and
//! [`client`] are the two ends. Everything that two hops could read in two ways is refused (RFC 9112, section 11.2).

pub mod body;
pub mod chunked;
pub mod client;
pub mod clock;
pub mod encode;
pub mod framing;
pub mod head;
pub mod outgoing;
pub mod server;
pub mod spelling;
pub mod wire;
