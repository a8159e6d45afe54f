//! Bytes that arrive in pieces, and bodies among them as our decoder reads them.

use bytes::BytesMut;
use proptest::prelude::*;
use proxy::http1::chunked::{Chunked, Step};
use proxy::http1::framing::Framing;

use crate::{End, Fields, fields};

/// What has arrived and what is still to come.
pub struct Arriving<'a> {
    pub input: BytesMut,
    pieces: std::vec::IntoIter<&'a [u8]>,
}

impl<'a> Arriving<'a> {
    fn new(bytes: &'a [u8], cuts: impl IntoIterator<Item = usize>) -> Self {
        let mut ends: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut from = 0;
        let pieces: Vec<_> = ends.into_iter().map(|end| &bytes[std::mem::replace(&mut from, end)..end]).collect();
        Self { input: BytesMut::new(), pieces: pieces.into_iter() }
    }

    /// All at once.
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self::new(bytes, [])
    }

    /// Whether there was another piece.
    pub fn more(&mut self) -> bool {
        self.pieces.next().map(|piece| self.input.extend_from_slice(piece)).is_some()
    }

    /// A body and its trailers.
    pub fn body(&mut self, framing: Framing) -> Result<(Vec<u8>, Fields), End> {
        match framing {
            Framing::None => Ok(Default::default()),
            Framing::UntilClose => {
                while self.more() {}
                Ok((self.input.split().to_vec(), Fields::new()))
            }
            Framing::Length(length) => {
                while (self.input.len() as u64) < length {
                    if !self.more() {
                        return Err(End::Over);
                    }
                }
                Ok((self.input.split_to(usize::try_from(length).unwrap()).to_vec(), Fields::new()))
            }
            Framing::Chunked => self.chunks(),
        }
    }

    fn chunks(&mut self) -> Result<(Vec<u8>, Fields), End> {
        let (mut chunked, mut body) = (Chunked::default(), Vec::new());
        loop {
            match chunked.next(&mut self.input).map_err(|_| End::Body)? {
                Step::More if self.more() => {}
                Step::More => return Err(End::Over),
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End(trailers) => return Ok((body, trailers.as_ref().map(fields).unwrap_or_default())),
            }
        }
    }
}

/// Where the bytes are cut.
pub fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(any::<usize>(), 1..8)
}

/// Reads the bytes whole, cut, and one by one, which must come to the same.
pub fn read<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    cuts: &[usize],
    ours: impl Fn(Arriving<'_>) -> T,
) -> Result<T, TestCaseError> {
    let whole = ours(Arriving::whole(bytes));
    for cuts in [cuts.to_vec(), (0..bytes.len()).collect()] {
        let cut = ours(Arriving::new(bytes, cuts.iter().copied()));
        prop_assert_eq!(&cut, &whole, "{:?} in {} pieces", String::from_utf8_lossy(bytes), cuts.len() + 1);
    }
    Ok(whole)
}
