//! Follows the frames of an HTTP/2 connection through its bytes, which come in pieces of any size. Nothing is copied.

/// Bytes of a frame's header (RFC 9113 section 4.1).
pub const HEADER: usize = 9;
/// Bytes of the client's preface, before its first frame.
pub const PREFACE: u32 = 24;

/// Type of a frame.
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const PRIORITY: u8 = 0x2;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

/// END_STREAM of DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;
/// END_HEADERS of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes that follow the header.
    pub length: u32,
    /// See [`kind`].
    pub kind: u8,
    /// Flags, which mean something for each kind.
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
}

impl Frame {
    fn parse(header: &[u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *header;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    /// Whether all of these flags are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// Where in a sequence of frames a reader is.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes before the next header.
    skip: u32,
    /// A header of which the rest is still to come.
    header: [u8; HEADER],
    have: usize,
}

impl Frames {
    /// A sequence whose first frame begins after `skip` bytes.
    pub fn after(skip: u32) -> Self {
        Self { skip, ..Self::default() }
    }

    /// Whether the next byte begins a frame.
    pub fn at_boundary(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// Whether the next byte is one of a frame whose header is whole.
    pub fn inside_a_frame(&self) -> bool {
        self.skip > 0
    }

    /// Takes what came next, and tells of each frame whose header is whole, with the bytes that came after it; the first
    /// error ends it.
    #[inline]
    pub fn take<E>(&mut self, mut bytes: &[u8], mut told: impl FnMut(Frame, &[u8]) -> Result<(), E>) -> Result<(), E> {
        loop {
            let skipped = bytes.len().min(self.skip as usize);
            // At most `skip`, so it fits.
            self.skip -= skipped as u32;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            let frame = match bytes.first_chunk::<HEADER>() {
                Some(header) if self.have == 0 => {
                    bytes = &bytes[HEADER..];
                    Frame::parse(header)
                }
                _ => {
                    let more = bytes.len().min(HEADER - self.have);
                    self.header[self.have..self.have + more].copy_from_slice(&bytes[..more]);
                    self.have += more;
                    bytes = &bytes[more..];
                    if self.have < HEADER {
                        return Ok(());
                    }
                    self.have = 0;
                    Frame::parse(&self.header)
                }
            };
            self.skip = frame.length;
            told(frame, bytes)?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use super::*;

    fn bytes(frames: &[(u8, u8, u32, usize)]) -> Vec<u8> {
        let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, flags, stream, length) in frames {
            all.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes()[1..]);
            all.extend_from_slice(&[*kind, *flags]);
            all.extend_from_slice(&stream.to_be_bytes());
            // Payload that would be a header, were it taken for one.
            all.extend(std::iter::repeat_n(0, *length));
        }
        all
    }

    #[test]
    fn however_the_bytes_are_cut_the_frames_are_the_same() {
        let sent =
            [(kind::SETTINGS, 0, 0, 18), (kind::HEADERS, 5, 1, 300), (kind::DATA, 0, 3, 0), (kind::PING, 1, 0, 8)];
        let whole = bytes(&sent);
        for piece in [1, 2, 3, 8, 9, 10, 24, 25, 100, whole.len()] {
            let mut frames = Frames::after(PREFACE);
            let mut seen = Vec::new();
            for part in whole.chunks(piece) {
                frames
                    .take(part, |frame, _| {
                        seen.push((frame.kind, frame.flags, frame.stream, frame.length as usize));
                        Ok::<_, Infallible>(())
                    })
                    .unwrap();
            }
            assert_eq!(seen, sent, "in pieces of {piece}");
            assert!(frames.at_boundary());
        }
    }

    #[test]
    fn a_frame_that_has_begun_is_no_boundary_and_the_reserved_bit_is_none_of_the_stream() {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        let mut take = |frames: &mut Frames, part: &[u8]| {
            frames
                .take(part, |frame, _| {
                    seen.push(frame.stream);
                    Ok::<_, Infallible>(())
                })
                .unwrap();
        };
        take(&mut frames, &[0, 0, 2, 0]);
        assert!(!frames.at_boundary());
        take(&mut frames, &[0, 0x80, 0, 0, 7, b'x']);
        assert!(!frames.at_boundary());
        take(&mut frames, b"y");
        assert!(frames.at_boundary());
        assert_eq!(seen, [7]);
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut count = 0;
        let ended = Frames::after(PREFACE).take(&bytes(&[(kind::PING, 0, 0, 8); 5]), |_, _| {
            count += 1;
            if count == 2 { Err("enough") } else { Ok(()) }
        });
        assert_eq!((ended, count), (Err("enough"), 2));
    }
}
