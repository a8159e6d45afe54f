//! Where a redirected connection was going before the redirect rule changed its destination.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpStream;

/// The original destination of a redirected connection: `SO_ORIGINAL_DST`, or the local address when no rule
/// redirected it (TPROXY keeps the destination; a direct connection has none other).
///
/// # Errors
/// When the socket is gone.
pub fn original_dst(stream: &TcpStream) -> io::Result<SocketAddr> {
    let local = stream.local_addr()?;
    let socket = SockRef::from(stream);
    let original =
        if local.is_ipv4() || mapped(local.ip()) { socket.original_dst_v4() } else { socket.original_dst_v6() };
    Ok(canonical(original.ok().and_then(|address| address.as_socket()).unwrap_or(local)))
}

/// IPv4 addresses are IPv4, also on a dual-stack socket.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}
