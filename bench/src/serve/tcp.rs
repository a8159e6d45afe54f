//! TCP: sends everything back.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Serves one connection until it ends.
pub async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) if stream.write_all(&buffer[..count]).await.is_err() => return,
            Ok(_) => {}
        }
    }
}
