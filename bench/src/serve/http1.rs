//! HTTP/1.1: takes the body, then answers with as many bytes as the path asks for.

use crate::head::Head;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Serves one connection until it ends.
pub async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    let mut answer = answer(0);
    let mut answers = 0;
    loop {
        let head = match Head::of(&buffer[..filled]) {
            Ok(head) => head,
            // A proxy in between has let through what is no HTTP: its client sees the closed connection as a failure.
            Err(_) => return,
        };
        let Some(head) = head else {
            match stream.read(&mut buffer[filled..]).await {
                Ok(0) | Err(_) => return,
                Ok(count) => filled += count,
            }
            continue;
        };
        let (wanted, whole) = (head.wanted(), head.length + head.content_length.unwrap_or(0));
        let mut missing = whole.saturating_sub(filled);
        while missing > 0 {
            let room = missing.min(buffer.len());
            match stream.read(&mut buffer[..room]).await {
                Ok(0) | Err(_) => return,
                Ok(count) => missing -= count,
            }
        }
        if answers != wanted {
            (answer, answers) = (self::answer(wanted), wanted);
        }
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        // What came of the next request stays; a body that did not fit the buffer has been read to its end.
        let next = whole.min(filled);
        buffer.copy_within(next..filled, 0);
        filled -= next;
    }
}

fn answer(body: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nServer: bench\r\nContent-Length: {body}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + body, b'y');
    bytes
}
