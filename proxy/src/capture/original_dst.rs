//! Where a redirected connection was going before the redirect rule changed its destination.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

/// The original destination of a redirected connection from `remote`: `SO_ORIGINAL_DST`, or the local address when no
/// rule redirected it (TPROXY keeps the destination). `None` when it was made to the capture socket itself, whose port
/// is `capture`.
///
/// # Errors
/// When the socket is gone.
pub fn original_dst(stream: &TcpStream, remote: SocketAddr, capture: u16) -> io::Result<Option<SocketAddr>> {
    let socket = SockRef::from(stream);
    let original = if canonical(remote).is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let original = original.ok().and_then(|address| address.as_socket()).map(canonical);
    // Only a destination with our own port can be our own address, so the system is seldom asked for it.
    match original {
        Some(original) if original.port() != capture => Ok(Some(original)),
        original => {
            let local = canonical(stream.local_addr()?);
            let destination = original.unwrap_or(local);
            Ok(Some(destination).filter(|_| destination != local || local.port() != capture))
        }
    }
}

/// IPv4 addresses are IPv4, also on a dual-stack socket.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
