//! The shop: the sample application of the demo and the tests, one role per file.
//!
//! ```text
//! visitors → frontend → catalog (v1, v2) → reviews → ratings   (HTTP/1.1, the last hop gRPC)
//!                              └──────────→ stock              (plain TCP, the server speaks first)
//! ```
//!
//! The applications know nothing of the mesh: they call one another by name, pass trace headers on, and finish what
//! they have begun when they are told to stop.

mod ask;
mod catalog;
mod client;
mod echo;
mod frontend;
mod ratings;
mod reviews;
mod server;
mod stock;
mod visitors;

pub use ask::Question;
pub use visitors::Visits;

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::signal::unix::{SignalKind, signal};

/// What an application of the shop is.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// Steady load on `target`.
    Visitors(Visits),
    /// Entrance: asks the catalog.
    Frontend {
        /// Authority of the catalog, such as `catalog`.
        catalog: String,
    },
    /// Products: asks reviews and stock.
    Catalog {
        /// Authority of the reviews.
        reviews: String,
        /// `host:port` of the stock.
        stock: String,
    },
    /// Reviews: asks ratings over gRPC.
    Reviews {
        /// `host:port` of the ratings.
        ratings: String,
    },
    /// Stars, over gRPC.
    Ratings,
    /// How many are left, over a TCP protocol in which the server greets first.
    Stock,
    /// Answers with what it was asked, for tests.
    Echo,
    /// Asks once.
    Ask(Question),
}

/// What all applications share.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// The port to listen on.
    pub port: u16,
    /// Its version, shown in answers as `x-version`.
    pub version: String,
    /// Its own name, shown in answers as `x-served-by`.
    pub instance: String,
    /// The share of requests that it answers with 503, from 0 to 1.
    pub fail_share: f64,
}

/// Runs an application until SIGTERM or SIGINT, then finishes what is in flight.
///
/// # Errors
/// When its port is taken or the system refuses something.
pub fn run(role: Role, application: Application) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = everywhere(application.port);
        match role {
            Role::Visitors(visits) => visitors::run(visits, stopped()?).await,
            Role::Frontend { catalog } => frontend::run(&catalog, application, stopped()?).await,
            Role::Catalog { reviews, stock } => catalog::run(&reviews, stock, application, stopped()?).await,
            Role::Reviews { ratings } => reviews::run(&ratings, application, stopped()?).await,
            Role::Ratings => ratings::serve(address, application.version, stopped()?).await,
            Role::Stock => stock::serve(address, stopped()?).await,
            Role::Echo => echo::run(application, stopped()?).await,
            Role::Ask(question) => ask::run(question, stopped()?).await,
        }
    })
}

/// Every address of the pod, of both families where the kernel has both.
fn everywhere(port: u16) -> SocketAddr {
    let has_ipv6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if has_ipv6 { (Ipv6Addr::UNSPECIFIED, port).into() } else { (Ipv4Addr::UNSPECIFIED, port).into() }
}

/// Resolves on the first SIGTERM or SIGINT.
fn stopped() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
