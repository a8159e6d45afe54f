//! The HTTP/2 settings of both sides.

use xds::core::Http2ProtocolOptions;

use super::wrappers::uint32;

/// Streams that one peer may have open at a time.
const MAX_STREAMS: u32 = 100;
/// Flow control of one stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// Flow control of a connection: large enough that one slow stream does not hold up the others.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What is granted to clients.
pub(super) fn downstream() -> Http2ProtocolOptions {
    Http2ProtocolOptions { max_concurrent_streams: uint32(MAX_STREAMS), ..upstream() }
}

/// What is granted to servers, which set their own limit of streams.
pub(super) fn upstream() -> Http2ProtocolOptions {
    Http2ProtocolOptions {
        initial_stream_window_size: uint32(STREAM_WINDOW),
        initial_connection_window_size: uint32(CONNECTION_WINDOW),
        ..Http2ProtocolOptions::default()
    }
}
