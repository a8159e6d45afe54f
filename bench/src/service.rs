//! The Services of `mesh.yaml`.

use std::net::{Ipv4Addr, SocketAddr};

/// The server's address in `mesh.yaml`.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 44, 9, 3);

/// One Service, one port, one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC.
    Grpc,
    /// TCP of which the proxies know nothing.
    Tcp,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 4] = [Service::Http1, Service::Http2, Service::Grpc, Service::Tcp];

    /// Its name, also the host name of requests to it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Http1 => "http1",
            Service::Http2 => "http2",
            Service::Grpc => "grpc",
            Service::Tcp => "tcp",
        }
    }

    /// The port of the Service and of the server.
    pub fn port(self) -> u16 {
        8000 + u16::from(self.number())
    }

    /// Where an application connects to, for a sidecar to capture.
    pub fn address(self) -> SocketAddr {
        SocketAddr::from(([10, 96, 9, self.number()], self.port()))
    }

    /// Where a proxy without redirection listens in the client's pod.
    pub fn local(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()))
    }

    /// Where a proxy without redirection listens for its other half, in the server's pod.
    pub fn tunnel(self) -> SocketAddr {
        SocketAddr::from((SERVER, 9000 + u16::from(self.number())))
    }

    fn number(self) -> u8 {
        match self {
            Service::Http1 => 1,
            Service::Http2 => 2,
            Service::Grpc => 3,
            Service::Tcp => 4,
        }
    }
}
