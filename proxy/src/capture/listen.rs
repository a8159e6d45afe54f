//! Opens listening sockets, for both address families where the kernel has both, and accepts without ever giving up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::original_dst::canonical;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Who may have the port beside this socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Nobody.
    Alone,
    /// Each worker has a socket of its own on it (`SO_REUSEPORT`).
    Shared,
}

/// A listening socket. `::` takes connections of both families: one socket for a pod's addresses, whichever it has, and no
/// second one to be accepted from in turn. A kernel without IPv6 gets `0.0.0.0` instead.
///
/// # Errors
/// Names the address, for the port is taken or the system forbids it.
pub fn bind(address: SocketAddr, port: Port) -> io::Result<std::net::TcpListener> {
    let opened = match open(address, port) {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && lacks_ipv6(&error) => {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| tracing::info!("this kernel has no IPv6: listening on IPv4 addresses only"));
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), port)
        }
        opened => opened,
    };
    opened.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

fn open(address: SocketAddr, port: Port) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(port == Port::Shared)?;
    socket.set_nonblocking(true)?;
    // Small writes must not wait for the peer's acknowledgement; accepted connections inherit this.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// `ipv6.disable=1` takes the family away, or all its addresses.
fn lacks_ipv6(error: &io::Error) -> bool {
    let codes = [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL].map(|code| Some(code as i32));
    codes.contains(&error.raw_os_error())
}

/// The next connection. Running out of descriptors or memory slows this down and ends nothing.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => return (stream, canonical(remote)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again in {pause:?}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        }
    }
}

/// Errors that came with one connection and say nothing of the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::*;

    #[tokio::test]
    async fn both_families_arrive_under_their_own_addresses() {
        let listener = bind((Ipv6Addr::UNSPECIFIED, 0).into(), Port::Alone).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = TcpListener::from_std(listener).unwrap();
        for loopback in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()] {
            let client = TcpStream::connect(loopback).await.unwrap();
            let (_, remote) = accept(&listener).await;
            assert_eq!(remote, client.local_addr().unwrap());
        }
    }

    #[test]
    fn a_port_that_is_not_shared_is_taken() {
        let first = bind((Ipv6Addr::UNSPECIFIED, 0).into(), Port::Alone).unwrap();
        let port = first.local_addr().unwrap().port();
        for ip in [std::net::IpAddr::from(Ipv6Addr::UNSPECIFIED), Ipv4Addr::UNSPECIFIED.into()] {
            let refused = bind(SocketAddr::new(ip, port), Port::Alone).unwrap_err().to_string();
            assert!(refused.contains(&format!("cannot listen on {}", SocketAddr::new(ip, port))), "{refused}");
        }
    }

    #[test]
    fn a_kernel_without_ipv6_is_told_from_a_port_that_is_taken() {
        let error = |code: Errno| io::Error::from_raw_os_error(code as i32);
        assert!(lacks_ipv6(&error(Errno::EAFNOSUPPORT)) && lacks_ipv6(&error(Errno::EADDRNOTAVAIL)));
        assert!(!lacks_ipv6(&error(Errno::EADDRINUSE)) && !lacks_ipv6(&error(Errno::EACCES)));
    }
}
