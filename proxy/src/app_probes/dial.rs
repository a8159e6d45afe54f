//! Connections to the application, as the inbound side makes them: to the pod's address, so that an application is reached
//! that listens on nothing else, and from Istio's address for it, so that they are not captured.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::Failure;
use crate::redirect::Family;

/// Where the application of this pod is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Application {
    pod: IpAddr,
    mark: Option<u32>,
}

impl Application {
    pub(super) fn new(pod: IpAddr, mark: Option<u32>) -> Self {
        Self { pod, mark }
    }

    /// Its address with a port.
    pub(super) fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pod, port)
    }

    pub(super) async fn connect(self, port: u16) -> Result<TcpStream, Failure> {
        let address = self.at(port);
        self.open(address).await.map_err(|source| Failure::Connect { address, source })
    }

    async fn open(self, address: SocketAddr) -> io::Result<TcpStream> {
        let (socket, family) = match address {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, Family::V4),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, Family::V6),
        };
        if let Some(mark) = self.mark {
            SockRef::from(&socket).set_mark(mark)?;
        }
        socket.bind(SocketAddr::new(family.inbound_source(), 0))?;
        socket.connect(address).await
    }
}
