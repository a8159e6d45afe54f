//! A gRPC channel to the control plane over a given TLS configuration: connects lazily, reconnects by itself, and
//! marks its sockets so that redirect rules leave them alone.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::{CONNECTION_WINDOW, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, STREAM_WINDOW};
use crate::tls::{self, TlsError};

/// For name lookup, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server name.
    #[error(transparent)]
    Name(#[from] TlsError),
    /// The server name does not fit into a URI.
    #[error("{0:?} cannot be the authority of gRPC requests")]
    Authority(String),
    /// Nobody answered properly.
    #[error("cannot connect to {address} as {server_name}: {reason}")]
    Connect {
        /// `host:port`.
        address: String,
        /// The name that the server must prove.
        server_name: String,
        /// The innermost reason.
        reason: String,
    },
}

/// A channel to `address` (`host:port`; a name is looked up at each connect). Nothing is sent before the first call;
/// a lost connection is made anew by the next one. HTTP/2 keepalive every 20 s, answer within 10 s, also when idle.
/// `mark` is set as SO_MARK, which needs CAP_NET_ADMIN.
pub fn channel(
    address: impl Into<String>,
    tls: Arc<ClientConfig>,
    server_name: &str,
    mark: Option<u32>,
) -> Result<Channel, ConnectError> {
    let dialer = Dialer::new(address.into(), tls, server_name, mark)?;
    let endpoint = endpoint(server_name)?;
    Ok(endpoint.connect_with_connector_lazy(dialer.connector()))
}

/// The same, but the connection is made at once, so that a failure says why.
pub async fn connect(
    address: impl Into<String>,
    tls: Arc<ClientConfig>,
    server_name: &str,
    mark: Option<u32>,
) -> Result<Channel, ConnectError> {
    let address = address.into();
    let dialer = Dialer::new(address.clone(), tls, server_name, mark)?;
    let endpoint = endpoint(server_name)?;
    endpoint.connect_with_connector(dialer.connector()).await.map_err(|error| ConnectError::Connect {
        address,
        server_name: server_name.to_owned(),
        reason: innermost(&error),
    })
}

fn endpoint(server_name: &str) -> Result<Endpoint, ConnectError> {
    let endpoint = Endpoint::from_shared(format!("https://{server_name}"))
        .map_err(|_| ConnectError::Authority(server_name.to_owned()))?;
    Ok(endpoint
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}

fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[derive(Clone)]
struct Dialer {
    address: Arc<str>,
    tls: TlsConnector,
    server_name: ServerName<'static>,
    mark: Option<u32>,
}

impl Dialer {
    fn new(
        address: String,
        tls: Arc<ClientConfig>,
        server_name: &str,
        mark: Option<u32>,
    ) -> Result<Self, ConnectError> {
        let server_name = tls::server_name(server_name)?;
        Ok(Self { address: address.into(), tls: tls.into(), server_name, mark })
    }

    fn connector(
        self,
    ) -> impl tower::Service<
        http::Uri,
        Response = TokioIo<TlsStream<TcpStream>>,
        Error = io::Error,
        Future: Send + 'static,
    > + Send
    + 'static {
        tower::service_fn(move |_: http::Uri| {
            let dialer = self.clone();
            async move {
                let limit = timeout(CONNECT_TIMEOUT, dialer.dial());
                limit.await.unwrap_or_else(|_| {
                    let text = format!("no TLS connection within {CONNECT_TIMEOUT:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, text))
                })
            }
        })
    }

    async fn dial(&self) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let stream = self.dial_tcp().await?;
        let stream = self
            .tls
            .connect(self.server_name.clone(), stream)
            .await
            .map_err(|error| io::Error::new(error.kind(), tls::failure(None, &error).1))?;
        Ok(TokioIo::new(stream))
    }

    async fn dial_tcp(&self) -> io::Result<TcpStream> {
        let mut last = None;
        for address in lookup_host(&*self.address).await? {
            match self.dial_one(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.address))))
    }

    async fn dial_one(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(mark) = self.mark {
            SockRef::from(&socket).set_mark(mark).map_err(|error| {
                let text = format!("cannot mark the socket with {mark:#x} (CAP_NET_ADMIN is needed): {error}");
                io::Error::new(error.kind(), text)
            })?;
        }
        socket.set_nodelay(true)?;
        socket.connect(address).await
    }
}
