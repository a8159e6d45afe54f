//! Bytes from one socket to another through a pipe, which the kernel does without copying them to us.
//!
//! A pipe costs two descriptors, so a thread has few of them and lends each for as long as much is moving.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::copy::{Moved, add};

/// What a pipe is asked to hold, in bytes; an unprivileged process may ask for no more.
const CAPACITY: usize = 1024 * 1024;
/// Pipes of one thread that are lent at a time; further connections are copied.
const LENT: usize = 32;
/// Pipes that a thread keeps for the next who asks.
const KEPT: usize = 8;

thread_local! {
    static FREE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
    static OUT: Cell<usize> = const { Cell::new(0) };
}

struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

/// A borrowed pipe.
pub struct Pipe {
    ends: Option<Ends>,
    /// Bytes that are in it.
    held: usize,
    carried: usize,
}

impl Pipe {
    /// `None`: too many are lent, or the system gives none.
    pub fn take() -> Option<Self> {
        if OUT.get() >= LENT {
            return None;
        }
        let ends = FREE.with_borrow_mut(Vec::pop).or_else(open)?;
        OUT.set(OUT.get() + 1);
        Some(Self { ends: Some(ends), held: 0, carried: 0 })
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Bytes that have passed since it was borrowed.
    pub fn carried(&self) -> usize {
        self.carried
    }

    /// Carries until the source ends.
    pub fn poll_carry(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        moved: &Moved,
    ) -> Poll<io::Result<()>> {
        let Some(ends) = &self.ends else { return Poll::Ready(Ok(())) };
        loop {
            if self.held == 0 {
                ready!(from.poll_read_ready(cx))?;
                let read = || one(from, &ends.write, ends.capacity);
                match from.try_io(Interest::READABLE, read) {
                    Ok(0) => return Poll::Ready(Ok(())),
                    Ok(bytes) => {
                        self.held = bytes;
                        self.carried += bytes;
                        add(&moved.read, bytes);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || one(&ends.read, to, self.held)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => {
                    self.held -= bytes;
                    add(&moved.written, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

fn one(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, bytes: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    Ok(splice(from, None, to, None, bytes, flags)?)
}

fn open() -> Option<Ends> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
    // A user who has many pipes gets small ones, which will do.
    let capacity = fcntl(&write, FcntlArg::F_SETPIPE_SZ(CAPACITY as i32))
        .or_else(|_| fcntl(&write, FcntlArg::F_GETPIPE_SZ))
        .ok()
        .and_then(|capacity| usize::try_from(capacity).ok())?;
    Some(Ends { read, write, capacity })
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        // At the end of a thread there is nobody to give it back to.
        let _ = OUT.try_with(|out| out.set(out.get().saturating_sub(1)));
        if self.held == 0 {
            let _ = FREE.try_with(|free| {
                let mut free = free.borrow_mut();
                if free.len() < KEPT {
                    free.push(ends);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn there_are_no_more_pipes_than_allowed_and_they_come_back() {
        let mut lent: Vec<Pipe> = (0..LENT).map(|_| Pipe::take().unwrap()).collect();
        assert!(Pipe::take().is_none());
        lent.pop();
        assert!(Pipe::take().is_some());
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_not_lent_again() {
        FREE.with_borrow_mut(Vec::clear);
        let mut pipe = Pipe::take().unwrap();
        pipe.held = 1;
        drop(pipe);
        FREE.with_borrow(|free| assert!(free.is_empty()));
    }
}
