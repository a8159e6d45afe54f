//! How many frames of each kind an HTTP/2 client may send that cost more to take than to send.
//!
//! Each kind has a bucket of tokens. Time fills it slowly; honest use that the peer cannot fake without asking for real
//! work fills it too: whoever gets DATA may answer with WINDOW_UPDATE and measure the way with PING, whoever opens streams
//! may say their priority, whoever lets requests end may reset others. DATA with content is not limited: it is work, and
//! what of it nobody has read is bounded by flow control and by h2's budget for small frames.

use std::time::Instant;

use super::frames::{END_HEADERS, END_STREAM, Frame, kind};

/// What a connection may do in one breath and for long.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Frames at once.
    burst: u32,
    /// Frames a second besides.
    per_second: u32,
    /// The reason that is counted when it was too much.
    reason: &'static str,
}

/// A client keeps alive, and measures the way once for some DATA that it gets (gRPC does).
const PING: Rate = Rate { burst: 500, per_second: 100, reason: "http2_ping_flood" };
/// Windows that adapt change a few times in a connection's life.
const SETTINGS: Rate = Rate { burst: 100, per_second: 10, reason: "http2_settings_flood" };
/// A deadline on each of 100 hanging streams, every second. CVE-2023-44487 needs thousands.
const RESET: Rate = Rate { burst: 400, per_second: 100, reason: "http2_reset_flood" };
/// For a window or two there are frames that nothing of ours called for.
const WINDOW_UPDATE: Rate = Rate { burst: 2000, per_second: 500, reason: "http2_window_update_flood" };
/// Deprecated, yet browsers and nghttp2 send some.
const PRIORITY: Rate = Rate { burst: 500, per_second: 100, reason: "http2_priority_flood" };
/// DATA without content that ends nothing. As many as h2 takes in a connection's life.
const EMPTY_DATA: Rate = Rate { burst: 100, per_second: 0, reason: "http2_empty_data_flood" };
/// Extensions, and what a client has no cause to send.
const OTHER: Rate = Rate { burst: 500, per_second: 100, reason: "http2_unknown_frame_flood" };

const CONTINUATION_FLOOD: &str = "http2_continuation_flood";

/// WINDOW_UPDATE frames that one DATA frame of ours may be answered with: Envoy's figure.
const WINDOW_UPDATES_PER_DATA: u32 = 10;
/// Frames about a stream that its opening gives room for: priority, windows, extensions.
const FRAMES_PER_STREAM: u32 = 4;

/// Tokens left of a [`Rate`].
#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, filled: now }
    }

    /// Takes a token; the clock is asked only when there seems to be none.
    #[inline]
    fn take(&mut self, rate: Rate, now: impl Fn() -> Instant) -> Result<(), &'static str> {
        if self.left == 0 {
            let now = now();
            let waited = now.saturating_duration_since(self.filled).as_millis();
            let gained = waited * u128::from(rate.per_second) / 1000;
            if gained == 0 {
                return Err(rate.reason);
            }
            self.filled = now;
            self.left = u32::try_from(gained).unwrap_or(u32::MAX).min(rate.burst);
        }
        self.left -= 1;
        Ok(())
    }

    #[inline]
    fn add(&mut self, rate: Rate, tokens: u32) {
        self.left = (self.left + tokens).min(rate.burst);
    }
}

/// The account of one connection.
#[derive(Debug)]
pub struct Flood {
    ping: Bucket,
    settings: Bucket,
    reset: Bucket,
    window_update: Bucket,
    priority: Bucket,
    empty_data: Bucket,
    other: Bucket,
    /// CONTINUATION frames of the header block under way.
    continuations: u32,
    most_continuations: u32,
    /// The last stream that the client has opened.
    last_stream: u32,
}

impl Flood {
    /// The account of a connection whose heads may have so many bytes.
    pub fn new(max_head_bytes: usize) -> Self {
        let now = Instant::now();
        let full = |rate| Bucket::full(rate, now);
        Self {
            ping: full(PING),
            settings: full(SETTINGS),
            reset: full(RESET),
            window_update: full(WINDOW_UPDATE),
            priority: full(PRIORITY),
            empty_data: full(EMPTY_DATA),
            other: full(OTHER),
            continuations: 0,
            most_continuations: most_continuations(max_head_bytes),
            last_stream: 0,
        }
    }

    /// The last stream that the client has opened.
    pub fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Takes account of a frame of the client.
    ///
    /// # Errors
    /// The reason to count, when it was one too many.
    #[inline]
    pub fn received(&mut self, frame: Frame, now: impl Fn() -> Instant) -> Result<(), &'static str> {
        match frame.kind {
            kind::DATA if frame.length > 0 || frame.has(END_STREAM) => Ok(()),
            kind::DATA => self.empty_data.take(EMPTY_DATA, now),
            kind::HEADERS => {
                self.continuations = 0;
                if frame.stream > self.last_stream {
                    self.last_stream = frame.stream;
                    self.window_update.add(WINDOW_UPDATE, FRAMES_PER_STREAM);
                    self.priority.add(PRIORITY, FRAMES_PER_STREAM);
                    self.other.add(OTHER, FRAMES_PER_STREAM);
                }
                Ok(())
            }
            kind::CONTINUATION if frame.has(END_HEADERS) => Ok(()),
            kind::CONTINUATION => {
                self.continuations += 1;
                if self.continuations > self.most_continuations { Err(CONTINUATION_FLOOD) } else { Ok(()) }
            }
            kind::WINDOW_UPDATE => self.window_update.take(WINDOW_UPDATE, now),
            kind::PING => self.ping.take(PING, now),
            kind::RST_STREAM => self.reset.take(RESET, now),
            kind::SETTINGS => self.settings.take(SETTINGS, now),
            kind::PRIORITY => self.priority.take(PRIORITY, now),
            _ => self.other.take(OTHER, now),
        }
    }

    /// Takes account of a frame of ours.
    #[inline]
    pub fn sent(&mut self, frame: Frame) {
        match frame.kind {
            kind::DATA => self.window_update.add(WINDOW_UPDATE, WINDOW_UPDATES_PER_DATA),
            kind::HEADERS => {}
            _ => return,
        }
        self.ping.add(PING, 1);
        if frame.has(END_STREAM) {
            self.reset.add(RESET, 1);
        }
    }
}

/// Full frames of the smallest size that must be taken hold 16 KiB; a quarter more for frames that are not full. h2 has
/// the same measure, and this one comes first because it tells the reason.
fn most_continuations(max_head_bytes: usize) -> u32 {
    let full = (max_head_bytes / 16_384).max(1);
    u32::try_from(full + full / 4).unwrap_or(u32::MAX).max(5)
}

/// The reason to count when h2 found that one of its own limits was passed: only the debug data of its GOAWAY tells which.
pub fn passed_limit(debug_data: &[u8]) -> Option<&'static str> {
    let named: [(&[u8], _); 5] = [
        (b"too_many_resets", RESET.reason),
        (b"too_many_internal_resets", "http2_faulty_streams_flood"),
        (b"too_many_data_frames", "http2_small_data_flood"),
        (b"too_many_continuations", CONTINUATION_FLOOD),
        (b"header_list_way_too_large", "head_too_large"),
    ];
    named.into_iter().find(|(debug, _)| debug_data.starts_with(debug)).map(|(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    const HEAD: usize = 65_536;

    fn frame(kind: u8, flags: u8) -> Frame {
        let length = if kind == kind::DATA { 0 } else { 8 };
        Frame { length, kind, flags, stream: 1 }
    }

    /// Frames of one kind that are taken within a moment.
    fn at_once(kind: u8, flags: u8) -> (u32, &'static str) {
        let mut flood = Flood::new(HEAD);
        let start = Instant::now();
        (0_u32..).find_map(|n| Some((n, flood.received(frame(kind, flags), || start).err()?))).unwrap()
    }

    #[test]
    fn floods_are_cut_and_named() {
        assert_eq!(at_once(kind::PING, 0), (500, "http2_ping_flood"));
        assert_eq!(at_once(kind::SETTINGS, 0), (100, "http2_settings_flood"));
        assert_eq!(at_once(kind::RST_STREAM, 0), (400, "http2_reset_flood"));
        assert_eq!(at_once(kind::WINDOW_UPDATE, 0), (2000, "http2_window_update_flood"));
        assert_eq!(at_once(kind::PRIORITY, 0), (500, "http2_priority_flood"));
        assert_eq!(at_once(kind::DATA, 0), (100, "http2_empty_data_flood"));
        assert_eq!(at_once(kind::CONTINUATION, 0), (5, "http2_continuation_flood"));
        assert_eq!(at_once(0x42, 0), (500, "http2_unknown_frame_flood"));
    }

    #[test]
    fn small_data_and_the_ends_of_streams_are_never_too_many() {
        let mut flood = Flood::new(HEAD);
        let now = Instant::now();
        for n in 0..100_000 {
            flood.received(Frame { length: 1, kind: kind::DATA, flags: 0, stream: 1 }, || now).unwrap();
            flood.received(frame(kind::DATA, END_STREAM), || now).unwrap();
            flood.received(Frame { stream: n * 2 + 1, ..frame(kind::HEADERS, END_HEADERS) }, || now).unwrap();
        }
    }

    #[test]
    fn a_steady_client_below_the_rate_is_never_cut() {
        let mut flood = Flood::new(HEAD);
        let start = Instant::now();
        for n in 0..100_000_u32 {
            // 90 a second, where 100 are allowed.
            let now = start + Duration::from_millis(u64::from(n) * 1000 / 90);
            flood.received(frame(kind::PING, 0), || now).unwrap();
            flood.received(frame(kind::RST_STREAM, 0), || now).unwrap();
        }
    }

    #[test]
    fn real_work_gives_room() {
        let mut flood = Flood::new(HEAD);
        let now = Instant::now();
        for _ in 0..10_000 {
            // A request that ended, one that was reset, a PING for its answer, and windows for its DATA.
            flood.sent(frame(kind::HEADERS, 0));
            flood.sent(Frame { length: 100, ..frame(kind::DATA, END_STREAM) });
            for (kind, count) in [(kind::RST_STREAM, 1), (kind::PING, 2), (kind::WINDOW_UPDATE, 10)] {
                for _ in 0..count {
                    flood.received(frame(kind, 0), || now).unwrap();
                }
            }
        }
        // None of it for the frames that only answer the client's own.
        for _ in 0..10_000 {
            flood.sent(frame(kind::PING, 1));
            flood.sent(frame(kind::SETTINGS, 1));
        }
        assert_eq!((0..501).find_map(|_| flood.received(frame(kind::PING, 0), || now).err()), Some(PING.reason));
    }

    #[test]
    fn a_head_of_the_largest_size_may_come_in_full_frames() {
        assert_eq!(most_continuations(1 << 20), 80);
        let mut flood = Flood::new(HEAD);
        let now = Instant::now();
        for _ in 0..1000 {
            flood.received(frame(kind::HEADERS, 0), || now).unwrap();
            for _ in 0..4 {
                flood.received(frame(kind::CONTINUATION, 0), || now).unwrap();
            }
            flood.received(frame(kind::CONTINUATION, END_HEADERS), || now).unwrap();
        }
    }
}
