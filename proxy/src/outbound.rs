//! Outbound connections: from the workload to wherever it wanted to go.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use record::Security;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::capture::original_dst::original_dst;
use crate::detect::{Protocol, Sniffed, names_another_protocol, sniff};
use crate::handover::Demand;
use crate::http::server;
use crate::inspect::{Inspected, inspect};
use crate::io::Io;
use crate::model::{HttpSettings, InUse, Known, Listener, NetworkFilter, Tables};
use crate::options::WhenUnreachable;
use crate::refuse::{self, Refusal};
use crate::tcp;
use crate::worker::{Connection, Direction, Worker};

/// A listener, and a guard that keeps its configuration while a connection is open.
type Found = (Arc<Listener>, Option<InUse>);

/// Serves one captured connection to its end, in boxes like those of [`inbound`](crate::inbound).
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, remote: SocketAddr) {
    let _open = worker.handover.connection();
    let port = worker.handover.options.outbound_port;
    let destination = match original_dst(&stream, remote, port) {
        Ok(Some(destination)) => destination,
        Ok(None) => return refuse::note(&worker.handover, remote, own(port), &Refusal::Loop),
        Err(_) => return,
    };
    if let Err(refusal) = route(&worker, Io::plain(stream), remote, destination).await {
        refuse::note(&worker.handover, remote, destination, &refusal);
    }
}

/// For messages: our own port, wherever it was reached.
pub fn own(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port)
}

async fn route(worker: &Rc<Worker>, mut io: Io, remote: SocketAddr, destination: SocketAddr) -> Result<(), Refusal> {
    let (listener, _in_use) = discover(worker, destination).await?;
    let Inspected { chain, opened, protocol, .. } = inspect(worker, &listener, &mut io, destination).await?;
    match &chain.filter {
        NetworkFilter::Tcp(settings) => {
            let downstream = tcp::Downstream {
                direction: Direction::Outbound,
                remote,
                destination,
                principal: None,
                security: Security::Unknown,
            };
            Box::pin(tcp::serve(worker, settings, downstream, io, opened)).await
        }
        NetworkFilter::Http(settings) => {
            let http2 = speaks_http2(&mut io, settings, protocol).await?;
            let connection = Connection {
                direction: Direction::Outbound,
                chain: chain.clone(),
                settings: settings.clone(),
                http2,
                multiplexed: false,
                remote,
                original_dst: destination,
                principal: None,
                certificate_hash: None,
                security: Security::Unknown,
                server_name: None,
            };
            Box::pin(server::serve(worker.clone(), Rc::new(connection), io)).await;
            Ok(())
        }
    }
}

/// Which HTTP version a client speaks on a connection without ALPN: its first bytes tell.
///
/// # Errors
/// When the client says nothing for as long as a head may take.
pub async fn speaks_http2(io: &mut Io, settings: &HttpSettings, known: Option<Protocol>) -> Result<bool, Refusal> {
    let protocol = match known {
        Some(protocol) => protocol,
        None => first_words(io, settings).await?,
    };
    // It would not understand an answer in HTTP/1.1.
    if protocol == Protocol::Opaque && names_another_protocol(io.ahead()) {
        return Err(Refusal::NotHttp);
    }
    Ok(protocol == Protocol::Http2)
}

async fn first_words(io: &mut Io, settings: &HttpSettings) -> Result<Protocol, Refusal> {
    if io.ahead().is_empty() {
        let first = async { io.read_ahead().await.map_err(|error| Refusal::Io(error.to_string())) };
        let idle = settings.idle_timeout.unwrap_or(server::NEVER);
        if tokio::time::timeout(idle, first).await.map_err(|_| Refusal::Closed)?? == 0 {
            return Err(Refusal::Closed);
        }
    }
    match sniff(io, settings.head_timeout).await.map_err(|error| Refusal::Io(error.to_string()))? {
        Sniffed::Protocol(protocol) => Ok(protocol),
        Sniffed::Silent => Err(Refusal::Silent),
        Sniffed::Closed => Err(Refusal::Closed),
    }
}

/// The listener for a destination; waits for the control plane where it has not been asked yet.
async fn discover(worker: &Rc<Worker>, destination: SocketAddr) -> Result<Found, Refusal> {
    if let Some(found) = look_up(worker, destination) {
        return found;
    }
    let handover = &worker.handover;
    handover.stats.discoveries.inc();
    let (answer, answered) = oneshot::channel();
    let asked = async {
        handover.demands.send(Demand::Destination(destination, answer)).await.ok()?;
        answered.await.ok()
    };
    let in_time = tokio::time::timeout(handover.options.discovery_timeout, asked).await;
    match (in_time, look_up(worker, destination)) {
        (_, Some(found)) => found,
        (_, None) => match handover.options.unreachable {
            WhenUnreachable::PassThrough => capture(&handover.tables.load()),
            WhenUnreachable::Refuse => Err(Refusal::Undiscovered),
        },
    }
}

/// `None`: nobody has asked the control plane about this destination yet. A listener for any address is taken only
/// when it is known that the address has none of its own.
fn look_up(worker: &Worker, destination: SocketAddr) -> Option<Result<Found, Refusal>> {
    let tables = worker.handover.tables.load();
    let any = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), destination.port());
    for address in [destination, any] {
        let found = tables.destinations.get(&address)?;
        found.usage.touch(worker.handover.seconds());
        match &found.listener {
            Known::Present(listener) => return Some(Ok((listener.clone(), Some(found.usage.open())))),
            Known::Refused(reason) => return Some(Err(Refusal::BadConfiguration(reason.to_string()))),
            Known::Absent => {}
        }
    }
    Some(capture(&tables))
}

/// The capture listener itself serves what no other listener stands for.
fn capture(tables: &Tables) -> Result<Found, Refusal> {
    tables.outbound.clone().map(|listener| (listener, None)).ok_or(Refusal::Undiscovered)
}
