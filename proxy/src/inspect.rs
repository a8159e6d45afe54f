//! Chooses the filter chain of a connection, reading ahead only where the choice depends on it.
//!
//! Where the server may be the one to speak first, a client's silence does not stall: after a moment the upstream is
//! opened too, and whoever speaks first decides.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::detect::{self, ClientHello, Protocol, Sniffed, sniff};
use crate::io::Io;
use crate::model::{Facts, FilterChain, Listener, NetworkFilter, Wire};
use crate::refuse::Refusal;
use crate::tcp::{self, Opened};
use crate::worker::Worker;

/// A client that is known to speak first has so long for its first bytes and for its ClientHello.
const FIRST_BYTES: Duration = Duration::from_secs(5);
/// Destinations remembered as server-first; more are learned anew.
const MAX_LEARNED: usize = 10_000;

/// What inspection came to.
pub struct Inspected {
    /// The chain that serves the connection.
    pub chain: Arc<FilterChain>,
    /// What the client's ClientHello asks for, if it sent one.
    pub hello: ClientHello,
    /// The upstream connection, where it was opened to let the server speak.
    pub opened: Option<Opened>,
    /// What the first bytes were, if they were looked at.
    pub protocol: Option<Protocol>,
}

/// Inspects as the listener asks.
///
/// # Errors
/// When no chain takes the connection, or its first bytes do not come.
pub async fn inspect(
    worker: &Rc<Worker>,
    listener: &Listener,
    io: &mut Io,
    destination: SocketAddr,
) -> Result<Inspected, Refusal> {
    let silent = chain(listener, destination, Wire::Raw, &ClientHello::default(), None);
    if !listener.inspect_tls && !listener.inspect_http {
        return silent.map(|chain| Inspected { chain, hello: ClientHello::default(), opened: None, protocol: None });
    }
    let server_first = match &silent {
        Ok(chain) if !listener.close_silent && chain.tls.is_none() && matches!(chain.filter, NetworkFilter::Tcp(_)) => {
            Some(chain.clone())
        }
        _ => None,
    };
    let wait = match &server_first {
        None => listener.inspect_timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(FIRST_BYTES),
        Some(_) if worker.server_first.borrow().contains(&destination) => Duration::ZERO,
        Some(_) => worker.handover.options.detect_silence,
    };
    let sniffed = sniff(io, Some(wait)).await.map_err(|error| Refusal::Io(error.to_string()))?;
    match (sniffed, server_first) {
        (Sniffed::Closed, _) => Err(Refusal::Closed),
        (Sniffed::Protocol(protocol), _) => spoke(listener, io, destination, protocol).await,
        (Sniffed::Silent, None) => Err(Refusal::Silent),
        (Sniffed::Silent, Some(chain)) => Box::pin(race(worker, listener, io, destination, chain)).await,
    }
}

/// The client has been silent: opens the upstream and waits for either side.
async fn race(
    worker: &Rc<Worker>,
    listener: &Listener,
    io: &mut Io,
    destination: SocketAddr,
    chain: Arc<FilterChain>,
) -> Result<Inspected, Refusal> {
    let NetworkFilter::Tcp(tcp) = &chain.filter else { return Err(Refusal::Silent) };
    let mut opened = tcp::open(worker, tcp, destination).await?;
    let nobody_speaks = async {
        match tcp.idle_timeout {
            Some(idle) => tokio::time::sleep(idle).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        sniffed = sniff(io, None) => match sniffed.map_err(|error| Refusal::Io(error.to_string()))? {
            Sniffed::Protocol(protocol) => {
                let mut inspected = spoke(listener, io, destination, protocol).await?;
                if Arc::ptr_eq(&inspected.chain, &chain) {
                    inspected.opened = Some(opened);
                }
                Ok(inspected)
            }
            Sniffed::Silent | Sniffed::Closed => Err(Refusal::Closed),
        },
        read = opened.io.read_ahead() => {
            if read.map_err(|error| Refusal::Io(error.to_string()))? > 0 {
                learn(worker, destination);
            }
            Ok(Inspected { chain, hello: ClientHello::default(), opened: Some(opened), protocol: None })
        }
        () = nobody_speaks => Err(Refusal::Silent),
    }
}

fn learn(worker: &Worker, destination: SocketAddr) {
    let mut learned = worker.server_first.borrow_mut();
    if learned.len() >= MAX_LEARNED {
        learned.clear();
    }
    if learned.insert(destination) {
        tracing::info!(%destination, "the server speaks first here; declare the port's protocol as tcp to spare the first client a wait");
    }
}

async fn spoke(
    listener: &Listener,
    io: &mut Io,
    destination: SocketAddr,
    protocol: Protocol,
) -> Result<Inspected, Refusal> {
    let (wire, hello) = match protocol {
        Protocol::Tls if listener.inspect_tls => {
            let hello = timeout(FIRST_BYTES, detect::client_hello(io))
                .await
                .map_err(|_| Refusal::Tls("the ClientHello did not arrive whole within 5 s".into()))?
                .map_err(|error| Refusal::Tls(error.to_string()))?;
            (Wire::Tls, hello)
        }
        _ => (Wire::Raw, ClientHello::default()),
    };
    let chain = chain(listener, destination, wire, &hello, protocol.alpn().filter(|_| listener.inspect_http))?;
    Ok(Inspected { chain, hello, opened: None, protocol: Some(protocol) })
}

fn chain(
    listener: &Listener,
    destination: SocketAddr,
    wire: Wire,
    hello: &ClientHello,
    found: Option<&str>,
) -> Result<Arc<FilterChain>, Refusal> {
    let offers: Vec<&str> = hello.alpn.iter().map(String::as_str).chain(found).collect();
    let facts = Facts { destination, wire, server_name: hello.server_name.as_deref(), application_protocols: &offers };
    listener.chain(&facts).cloned().ok_or(Refusal::NoChain(if wire == Wire::Tls { "this TLS" } else { "plaintext" }))
}
