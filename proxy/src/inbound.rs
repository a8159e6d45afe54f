//! Inbound connections: from the world to the workload, with mTLS terminated on the way.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use record::Security;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::capture::original_dst::original_dst;
use crate::detect::ClientHello;
use crate::http::server;
use crate::http2::multiplex;
use crate::inspect::{Inspected, inspect};
use crate::io::Io;
use crate::model::{DownstreamTls, Facts, FilterChain, NetworkFilter, Wire};
use crate::outbound::{own, speaks_http2};
use crate::refuse::{self, Refusal};
use crate::tcp;
use crate::turns;
use crate::worker::{Connection, Direction, Worker};

/// A peer that takes longer over its handshake is cut off.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Whoever waits longer for the turn of its handshake has given up, as Istio's connect timeout has it.
const TURN: Duration = Duration::from_secs(10);

/// What TLS proved.
#[derive(Default)]
struct Secured {
    principal: Option<Arc<str>>,
    certificate_hash: Option<Box<str>>,
    alpn: Option<Vec<u8>>,
}

/// Serves one captured connection to its end. Each stage that follows the inspection is in a box of its own, so that a
/// connection that says nothing costs little.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, remote: SocketAddr) {
    let _open = worker.handover.connection();
    let port = worker.handover.options.inbound_port;
    let destination = match original_dst(&stream, remote, port) {
        Ok(Some(destination)) => destination,
        Ok(None) => return refuse::note(&worker.handover, remote, own(port), &Refusal::Loop),
        Err(_) => return,
    };
    if let Err(refusal) = admit(&worker, Io::plain(stream), remote, destination).await {
        refuse::note(&worker.handover, remote, destination, &refusal);
    }
}

async fn admit(worker: &Rc<Worker>, mut io: Io, remote: SocketAddr, destination: SocketAddr) -> Result<(), Refusal> {
    let listener = worker.handover.tables.load().inbound.clone().ok_or(Refusal::Undiscovered)?;
    let Inspected { chain, hello, opened, protocol } = inspect(worker, &listener, &mut io, destination).await?;
    let mut protocol = protocol;
    let mut secured = Secured::default();
    if let Some(tls) = &chain.tls {
        (io, secured) = Box::pin(terminate(worker, &chain, tls, &hello, io)).await?;
        protocol = None;
    }
    let security = if secured.principal.is_some() { Security::MutualTls } else { Security::None };
    match &chain.filter {
        NetworkFilter::Tcp(settings) => {
            let downstream = tcp::Downstream {
                direction: Direction::Inbound,
                remote,
                destination,
                principal: secured.principal,
                security,
            };
            tokio::select! {
                served = Box::pin(tcp::serve(worker, settings, downstream, io, opened)) => served,
                () = chain_gone(worker, destination, &chain) => Err(Refusal::NoChain("what was accepted before")),
            }
        }
        NetworkFilter::Http(settings) => {
            let multiplexed = secured.alpn.as_deref() == Some(multiplex::ALPN.as_bytes());
            let http2 = match secured.alpn.as_deref() {
                _ if multiplexed => true,
                Some(b"h2" | b"istio-h2") => true,
                _ => speaks_http2(&mut io, settings, protocol).await?,
            };
            let connection = Connection {
                direction: Direction::Inbound,
                chain: chain.clone(),
                settings: settings.clone(),
                http2,
                multiplexed,
                remote,
                original_dst: destination,
                principal: secured.principal,
                certificate_hash: secured.certificate_hash,
                security,
                server_name: hello.server_name.map(Into::into),
            };
            Box::pin(server::serve(worker.clone(), Rc::new(connection), io)).await;
            Ok(())
        }
    }
}

/// Returns when a newer configuration would no longer take the connection.
async fn chain_gone(worker: &Worker, destination: SocketAddr, chain: &FilterChain) {
    chain.retired.wait().await;
    while would_admit(worker, destination, chain) {
        tokio::time::sleep(server::LOOK_AGAIN).await;
    }
}

/// Whether the configuration now in force has a chain for such a connection as `chain` took.
pub fn would_admit(worker: &Worker, destination: SocketAddr, chain: &FilterChain) -> bool {
    let wire = if chain.tls.is_some() { Wire::Tls } else { Wire::Raw };
    let offers: Vec<&str> = chain.matches.application_protocols.iter().map(|name| &**name).collect();
    let facts = Facts { destination, wire, server_name: None, application_protocols: &offers };
    let tables = worker.handover.tables.load();
    tables
        .inbound
        .as_ref()
        .and_then(|listener| listener.chain(&facts))
        .is_some_and(|new| new.tls.is_some() == chain.tls.is_some())
}

async fn terminate(
    worker: &Worker,
    chain: &FilterChain,
    tls: &DownstreamTls,
    hello: &ClientHello,
    io: Io,
) -> Result<(Io, Secured), Refusal> {
    let config = worker
        .handover
        .tls
        .server(tls, &hello.alpn, matches!(chain.filter, NetworkFilter::Http(_)))
        .map_err(|error| Refusal::Tls(error.to_string()))?;
    let plain = io.into_plain().ok_or_else(|| Refusal::Tls("TLS within TLS".into()))?;
    tokio::time::timeout(TURN, turns::newcomer())
        .await
        .map_err(|_| Refusal::Tls("more handshakes came than there is time for: this one waited 10 s".into()))?;
    let stream = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(plain))
        .await
        .map_err(|_| Refusal::Tls("the handshake took longer than 5 s".into()))?
        .map_err(|error| Refusal::Tls(citadel::tls::failure(Some(&worker.handover.identity), &error).1))?;
    let session = stream.get_ref().1;
    let secured = Secured {
        principal: citadel::tls::known_peer_id(&worker.handover.identity, session).map(|id| id.shared()),
        certificate_hash: citadel::tls::peer_certificate_hash(session).map(Into::into),
        alpn: session.alpn_protocol().map(<[u8]>::to_vec),
    };
    Ok((Io::tls(stream.into()), secured))
}
