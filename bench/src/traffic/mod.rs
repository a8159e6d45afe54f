//! `bench load`: what the client pod sends. One process, one thread; it prints one line of JSON when it is done.
//!
//! Everything here must cost far less than a proxy, or the proxies would never be the narrow place.

mod hold;
mod http1;
mod http2;
mod meter;
mod pace;
mod tcp;
mod watch;

pub use meter::Report;

use crate::limits;
use anyhow::Context;
use clap::{Args, ValueEnum};
use meter::Meter;
use pace::Turns;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;
use watch::Watch;

/// What is sent over each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Kind {
    /// HTTP/1.1 POSTs over kept connections.
    Http1,
    /// HTTP/1.1 POSTs with `Connection: close`, each on a connection of its own.
    Fresh,
    /// HTTP/1.1 POSTs, one over each connection, which is then held; memory before and after.
    Hold,
    /// HTTP/2 POSTs.
    Http2,
    /// gRPC calls with one message each way.
    Grpc,
    /// gRPC streams that stay open; each message is sent when the one before has come back.
    GrpcStream,
    /// TCP, as many bytes as go through, both ways.
    Bulk,
    /// TCP, a few bytes both ways on each new connection.
    Connect,
}

/// An exchange that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure, so that a dead target does not turn the load into a busy loop.
const PAUSE: Duration = Duration::from_millis(20);

/// Arguments of `bench load`.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// What is sent.
    #[arg(long)]
    pub kind: Kind,
    /// Where to.
    #[arg(long)]
    pub target: SocketAddr,
    /// `Host` or `:authority`.
    #[arg(long, default_value = "server")]
    pub authority: String,
    /// Connections at the same time.
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Requests at the same time on each HTTP/2 connection.
    #[arg(long, default_value_t = 1)]
    pub streams: usize,
    /// Bytes of each request's body and of each response's.
    #[arg(long, default_value_t = 1024)]
    pub body: usize,
    /// Requests a second over all connections, sent when due whatever became of earlier ones; without it, each
    /// connection sends as fast as answers come.
    #[arg(long)]
    pub rate: Option<u32>,
    /// How long is measured.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// How long is sent before that.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Processes whose CPU time and memory are reported.
    #[arg(long, value_delimiter = ',')]
    pub watch: Vec<i32>,
}

/// Sends, measures and prints.
///
/// # Errors
/// When it cannot measure; failed requests are counted in the report.
pub fn run(args: LoadArgs) -> anyhow::Result<()> {
    limits::raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = LocalSet::new().block_on(&runtime, measure(args))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn measure(args: LoadArgs) -> anyhow::Result<Report> {
    if args.kind == Kind::Hold {
        return hold::run(&args).await;
    }
    let meter = Rc::new(Meter::default());
    send(Rc::new(args.clone()), &meter).context("start the load")?;
    tokio::time::sleep(Duration::from_secs_f64(args.warm_up)).await;
    let watch = Watch::start(&args.watch)?;
    meter.begin();
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    let used = watch.end()?;
    Ok(meter.end(used))
}

/// Starts a task for each connection.
fn send(args: Rc<LoadArgs>, meter: &Rc<Meter>) -> std::io::Result<()> {
    let mut lanes = pace::start(&args)?.into_iter();
    for _ in 0..args.connections {
        let (args, meter) = (Rc::clone(&args), Rc::clone(meter));
        let mut own: Vec<_> = lanes.by_ref().take(args.streams).collect();
        match args.kind {
            Kind::Bulk => drop(tokio::task::spawn_local(tcp::bulk(args, meter))),
            Kind::Http2 | Kind::Grpc | Kind::GrpcStream => {
                tokio::task::spawn_local(http2::connection(args, own, meter));
            }
            Kind::Http1 | Kind::Fresh | Kind::Connect | Kind::Hold => {
                let turns = own.pop().unwrap_or(Turns::AtOnce);
                match args.kind {
                    Kind::Connect => tokio::task::spawn_local(tcp::connections(args, turns, meter)),
                    Kind::Fresh => tokio::task::spawn_local(http1::fresh(args, turns, meter)),
                    _ => tokio::task::spawn_local(http1::kept(args, turns, meter)),
                };
            }
        }
    }
    Ok(())
}
