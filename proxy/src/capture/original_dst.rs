//! Where a redirected connection was going before the redirect rule changed its destination.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

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

/// The form in which an address is compared: an IPv4 address is IPv4 also on a socket of both families, and of IPv6 only
/// link-local addresses need more than themselves. Some kernels tell a flow label, too, which is not the address's.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match (address, address.ip().to_canonical()) {
        (SocketAddr::V6(full), IpAddr::V6(ip)) => SocketAddrV6::new(ip, full.port(), 0, full.scope_id()).into(),
        (_, ip) => SocketAddr::new(ip, address.port()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_address_has_one_form() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().unwrap();
        assert_eq!(canonical(mapped), "10.0.0.1:80".parse().unwrap());
        let labelled = SocketAddrV6::new("fd00::1".parse().unwrap(), 80, 7, 0).into();
        assert_eq!(canonical(labelled), "[fd00::1]:80".parse().unwrap());
        let local = SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 3).into();
        assert_eq!(canonical(local), local);
    }
}
