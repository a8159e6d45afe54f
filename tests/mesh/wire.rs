//! Reads TLS from captured segments: just enough to say which version and key exchange a handshake settled on.

use lab::capture::Segment;

/// What a ServerHello chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// `supported_versions`: 0x0304 is TLS 1.3.
    pub version: u16,
    /// Group of the `key_share`: 0x11ec is X25519MLKEM768.
    pub group: u16,
}

/// Every ServerHello that opens a segment.
pub fn server_hellos(segments: &[Segment]) -> Vec<Chosen> {
    segments.iter().filter_map(|segment| server_hello(&segment.payload)).collect()
}

/// RFC 8446 section 4.1.3, behind a record header of 5 bytes.
fn server_hello(bytes: &[u8]) -> Option<Chosen> {
    if bytes.first()? != &22 || bytes.get(5)? != &2 {
        return None;
    }
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let session = 5 + 4 + 2 + 32;
    let mut at = session + 1 + usize::from(*bytes.get(session)?) + 2 + 1;
    let end = at + 2 + usize::from(word(at)?);
    at += 2;
    let mut chosen = Chosen { version: word(9)?, group: 0 };
    while at + 4 <= end {
        let (kind, length) = (word(at)?, usize::from(word(at + 2)?));
        match kind {
            43 => chosen.version = word(at + 4)?,
            51 => chosen.group = word(at + 4)?,
            _ => {}
        }
        at += 4 + length;
    }
    Some(chosen)
}

/// Whether these bytes are anywhere in what crossed the wire.
pub fn carries(segments: &[Segment], text: &[u8]) -> bool {
    segments.iter().any(|segment| segment.payload.windows(text.len()).any(|window| window == text))
}
