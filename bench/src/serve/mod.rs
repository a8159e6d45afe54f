//! `bench serve`: the server pod's application. One process, one thread, a port for each kind of traffic.

mod http1;
mod http2;
mod tcp;

use crate::limits;
use crate::service::Service;
use std::future::Future;
use std::net::Ipv4Addr;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Serves until it is killed.
///
/// # Errors
/// When it cannot listen.
pub fn run() -> anyhow::Result<()> {
    limits::raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        tokio::try_join!(
            accept(Service::Http1, http1::serve),
            accept(Service::Http2, http2::serve),
            accept(Service::Grpc, http2::serve),
            accept(Service::Tcp, tcp::serve),
        )?;
        Ok(())
    })
}

async fn accept<F: Future<Output = ()> + 'static>(service: Service, serve: fn(TcpStream) -> F) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, service.port())).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(serve(stream));
    }
}
