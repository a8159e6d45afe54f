//! Buffers for bytes in flight: borrowed from the thread while there are some, given back when there are none, so that
//! an idle connection holds none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Buffers of one size that a thread keeps for the next who asks.
const KEPT: usize = 8;

thread_local! {
    static FREE: RefCell<[Vec<Box<[u8]>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// How much a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 16 KiB: one TLS record.
    Small,
    /// 64 KiB: fewer system calls when there is much to carry.
    Large,
}

impl Size {
    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Small => 16 * 1024,
            Self::Large => 64 * 1024,
        }
    }
}

/// A borrowed buffer; what is in it is read from the front.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    size: Size,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty one.
    pub fn take(size: Size) -> Self {
        let free = FREE.with_borrow_mut(|free| free[size as usize].pop());
        let bytes = free.unwrap_or_else(|| vec![0; size.bytes()].into_boxed_slice());
        Self { bytes, size, start: 0, end: 0 }
    }

    /// What is in it.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Nothing can be added.
    pub fn is_full(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// Drops so many bytes from the front.
    pub fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Adds what one read gives; 0 at the end of the stream.
    pub fn poll_fill<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, from: &mut S) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(from).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        self.end += read;
        Poll::Ready(Ok(read))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // At the end of a thread there is nobody to give it back to.
        let _ = FREE.try_with(|free| {
            let free = &mut free.borrow_mut()[self.size as usize];
            if free.len() < KEPT {
                free.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_buffer_that_was_given_back_is_lent_again_and_empty() {
        let mut first = Buffer::take(Size::Small);
        first.end = 7;
        let place = first.bytes.as_ptr();
        drop(first);
        let second = Buffer::take(Size::Small);
        assert_eq!(second.bytes.as_ptr(), place);
        assert!(second.is_empty());
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        drop((0..3 * KEPT).map(|_| Buffer::take(Size::Large)).collect::<Vec<_>>());
        FREE.with_borrow(|free| assert_eq!(free[Size::Large as usize].len(), KEPT));
    }
}
