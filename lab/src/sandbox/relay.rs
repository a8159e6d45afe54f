//! Joins connections of one network namespace to another: bytes in, bytes out.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use tokio::net::TcpStream;

/// Accepts on `listener` for ever and joins each connection to a new one from `connect`.
/// A connection that cannot be joined is closed.
pub async fn relay<F, C>(listener: TcpListener, connect: C)
where
    C: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<TcpStream>> + Send + 'static,
{
    let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!("relay: cannot listen: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((mut downstream, _)) => {
                let connect = connect.clone();
                tokio::spawn(async move {
                    if let Ok(mut upstream) = connect().await {
                        let _ = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await;
                    }
                });
            }
            // Out of descriptors or the like: wait for some to come back instead of spinning.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}
