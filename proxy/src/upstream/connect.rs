//! Opens connections to upstreams: socket, mark and source address, TLS where the endpoint wants it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::bulk::Bulk;
use crate::handover::Handover;
use crate::io::Io;
use crate::model::{Cluster, Endpoint, Transport, UpstreamTls};
use crate::tls::Alpn;

/// How long the first address of an endpoint is waited for alone (RFC 8305 and Envoy have the like).
const HEAD_START: Duration = Duration::from_millis(300);

/// A connection to an endpoint.
pub struct Connected {
    /// The bytes.
    pub io: Io,
    /// The peer's SPIFFE identity, when TLS proved one.
    pub principal: Option<Arc<str>>,
    /// What ALPN settled on.
    pub alpn: Option<Box<[u8]>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error("no connection to {address} within {limit:?}: the endpoint does not answer, or packets to it are dropped")]
    Timeout {
        /// Whom.
        address: SocketAddr,
        /// How long it was tried.
        limit: Duration,
    },
    /// The system's answer.
    #[error("cannot connect to {address}: {source}")]
    Io {
        /// Whom.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// TLS failed: whom we met is not whom the configuration names, or it speaks no TLS.
    #[error("TLS with {address} failed: {source}")]
    Tls {
        /// Whom.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// There is no TLS configuration for this endpoint.
    #[error("TLS with {address} cannot be set up: {source}")]
    Setup {
        /// Whom.
        address: SocketAddr,
        /// What went wrong.
        source: crate::tls::TlsError,
    },
}

/// How the bytes to this endpoint travel.
pub fn transport<'a>(cluster: &'a Cluster, endpoint: &Endpoint) -> &'a Transport {
    let fits = |pairs: &[(Box<str>, Box<str>)]| pairs.iter().all(|pair| endpoint.transport_match.contains(pair));
    cluster.transports.iter().find(|(wanted, _)| fits(&wanted.0)).map_or(&cluster.transport, |(_, transport)| transport)
}

/// Connects, with TLS if the endpoint wants it; `alpn` replaces the cluster's own offer.
///
/// # Errors
/// See [`ConnectError`]; nothing was sent of any request.
pub async fn connect(
    handover: &Handover,
    cluster: &Cluster,
    endpoint: &Endpoint,
    alpn: Option<Alpn>,
) -> Result<Connected, ConnectError> {
    let address = endpoint.address;
    let limit = cluster.connect_timeout;
    let attempt = async {
        let stream = reach(handover, endpoint, &cluster.bind).await;
        let stream = stream.map_err(|source| ConnectError::Io { address, source })?;
        match transport(cluster, endpoint) {
            Transport::Raw => Ok(Connected { io: Io::plain(stream), principal: None, alpn: None }),
            Transport::Tls(tls) => secure(handover, tls, alpn, address, stream).await,
        }
    };
    tokio::time::timeout(limit, attempt).await.unwrap_or(Err(ConnectError::Timeout { address, limit }))
}

/// Connects to an endpoint at its own address, or at that of the other family where it has one.
async fn reach(handover: &Handover, endpoint: &Endpoint, bind: &[IpAddr]) -> io::Result<TcpStream> {
    match endpoint.other {
        None => tcp(handover, endpoint.address, bind).await,
        Some(other) => Box::pin(either(handover, [endpoint.address, other], bind)).await,
    }
}

/// The second address is tried as well when the first has failed or been silent for a moment (RFC 8305, "Happy Eyeballs");
/// what the first said is the error of both.
async fn either(handover: &Handover, addresses: [SocketAddr; 2], bind: &[IpAddr]) -> io::Result<TcpStream> {
    let [mut first, second] = addresses.map(|address| Box::pin(tcp(handover, address, bind)));
    match tokio::time::timeout(HEAD_START, &mut first).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => second.await.map_err(|_| error),
        Err(_) => match select(first, second).await {
            Either::Left((Err(error), second)) => second.await.map_err(|_| error),
            Either::Right((Err(_), first)) => first.await,
            Either::Left((connected, _)) | Either::Right((connected, _)) => connected,
        },
    }
}

/// The source address for a family, where the configuration names source addresses. Without the right one a call to the
/// workload itself would be captured and come back for ever.
fn source(bind: &[IpAddr], address: SocketAddr) -> io::Result<Option<IpAddr>> {
    let own = bind.iter().find(|ip| ip.is_ipv4() == address.is_ipv4());
    if own.is_none() && !bind.is_empty() {
        let text = format!("upstream_bind_config has no source address for {}", address.ip());
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
    }
    Ok(own.copied())
}

/// The system's word on it is short.
fn not_ours(ip: IpAddr, error: &io::Error) -> io::Error {
    let text = format!("cannot connect from {ip}: {error}; `meltemi init` gives the pod that address");
    io::Error::new(error.kind(), text)
}

async fn tcp(handover: &Handover, address: SocketAddr, bind: &[IpAddr]) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let descriptors = &handover.descriptors;
    if !descriptors.admit_upstream(&socket) {
        let limit = descriptors.limit();
        return Err(io::Error::other(format!("no descriptor is left of {limit} open files (RLIMIT_NOFILE)")));
    }
    if let Some(mark) = handover.options.mark {
        SockRef::from(&socket).set_mark(mark)?;
    }
    if let Some(ip) = source(bind, address)? {
        socket.bind(SocketAddr::new(ip, 0)).map_err(|error| not_ours(ip, &error))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn secure(
    handover: &Handover,
    tls: &Arc<UpstreamTls>,
    alpn: Option<Alpn>,
    address: SocketAddr,
    stream: TcpStream,
) -> Result<Connected, ConnectError> {
    let config = handover.tls.client(tls, alpn).map_err(|source| ConnectError::Setup { address, source })?;
    let name = match tls.sni.as_deref().map(|sni| ServerName::try_from(sni.to_owned())) {
        Some(Ok(name)) => name,
        _ => ServerName::IpAddress(address.ip().into()),
    };
    let stream = TlsConnector::from(config)
        .connect(name, Bulk::new(Bytes::new(), stream))
        .await
        .map_err(|source| ConnectError::Tls { address, source })?;
    let session = stream.get_ref().1;
    let principal = citadel::tls::known_peer_id(&handover.identity, session).map(|id| id.shared());
    let alpn = session.alpn_protocol().map(Into::into);
    Ok(Connected { io: Io::tls(stream.into()), principal, alpn })
}
