//! That what is gathered arrives, in order and in time, and that nobody waits for ever.
#![allow(clippy::unwrap_used)]
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;

/// The clock is paused: this is over as soon as nothing else can happen.
const HANGS: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(tokio::runtime::LocalOptions::default());
    runtime.unwrap().block_on(test);
}

/// A peer, and the stream to it that holds so many bytes.
fn to_a_peer(holds: usize) -> (DuplexStream, Coalesced<DuplexStream>) {
    let (peer, own) = duplex(holds);
    (peer, Coalesced::new(own))
}

async fn all_that_comes(peer: &mut DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    timeout(HANGS, peer.read_to_end(&mut all)).await.unwrap().unwrap();
    all
}

/// Small and bulky, so that each meets what the other left; no byte is like the next.
fn pieces() -> Vec<Vec<u8>> {
    let lengths = [20, BULK + 7, 1, 0, 300, BULK - 1, BULK, 3 * BULK, 5].repeat(5);
    let mut next = 0_u8;
    let mut byte = || {
        next = next.wrapping_mul(5).wrapping_add(1);
        next
    };
    lengths.into_iter().map(|length| (0..length).map(|_| byte()).collect()).collect()
}

#[test]
fn bytes_arrive_in_order_however_little_the_socket_holds() {
    for holds in [1, 16, 1000, 1 << 20] {
        run(async {
            let (mut peer, mut stream) = to_a_peer(holds);
            let writing = tokio::task::spawn_local(async move {
                for piece in pieces() {
                    stream.write_all(&piece).await.unwrap();
                    stream.flush().await.unwrap();
                }
                stream.shutdown().await.unwrap();
            });
            assert!(all_that_comes(&mut peer).await == pieces().concat(), "through {holds} bytes");
            writing.await.unwrap();
        });
    }
}

#[test]
fn a_bulky_write_behind_gathered_bytes_is_woken_though_the_flusher_waits_for_the_same_socket() {
    run(async {
        let (mut peer, mut stream) = to_a_peer(16);
        tokio::task::spawn_local(async move {
            stream.write_all(&[1; 20]).await.unwrap();
            // Nobody else has had a turn: this one meets the full socket first, then the flusher does.
            stream.write_all(&[2; BULK]).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        assert_eq!(all_that_comes(&mut peer).await.len(), 20 + BULK);
    });
}

#[test]
fn what_is_written_leaves_without_a_flush() {
    run(async {
        let (mut peer, mut stream) = to_a_peer(1000);
        stream.write_all(b"a frame").await.unwrap();
        let mut frame = [0; 7];
        timeout(HANGS, peer.read_exact(&mut frame)).await.unwrap().unwrap();
        assert_eq!(&frame, b"a frame");
    });
}

#[test]
fn a_socket_that_takes_nothing_blocks_the_writer_at_a_bound() {
    for length in [1, 1000, BULK - 1, BULK] {
        run(async {
            let (_peer, mut stream) = to_a_peer(16);
            let mut taken = 0;
            while let Ok(written) = timeout(HANGS, stream.write(&vec![0; length])).await {
                taken += written.unwrap();
                assert!(taken < FULL + BULK + 16, "{taken} bytes in pieces of {length}");
            }
            // A bulky piece is not gathered: what was taken of it is in the socket.
            assert_eq!(timeout(HANGS, stream.flush()).await.is_ok(), length >= BULK, "in pieces of {length}");
        });
    }
}

#[test]
fn an_error_reaches_the_writer() {
    run(async {
        let (peer, mut stream) = to_a_peer(1000);
        drop(peer);
        stream.write_all(b"gathered before anybody knows").await.unwrap();
        tokio::time::sleep(HANGS).await;
        assert_eq!(stream.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(stream.flush().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(stream.shutdown().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn an_error_wakes_a_writer_that_waits() {
    run(async {
        let (peer, mut stream) = to_a_peer(16);
        let writing = tokio::task::spawn_local(async move { stream.write_all(&vec![0; 2 * FULL]).await });
        tokio::time::sleep(HANGS).await;
        drop(peer);
        let written = timeout(HANGS, writing).await.unwrap().unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_stream_that_is_dropped_sends_what_the_socket_takes_and_closes_it() {
    // Idle; with bytes that nobody has flushed; with more than the socket takes.
    for (length, arrives) in [(0, 0), (10, 10), (1000, 16)] {
        for waits in [false, true] {
            run(async {
                let (mut peer, mut stream) = to_a_peer(16);
                stream.write_all(&vec![0; length]).await.unwrap();
                if waits {
                    tokio::time::sleep(HANGS).await;
                }
                drop(stream);
                // The flusher alone holds the socket now.
                tokio::time::sleep(HANGS).await;
                assert_eq!(all_that_comes(&mut peer).await.len(), arrives, "of {length}, {waits}");
            });
        }
    }
}
