//! HTTP/1.1 in raw bytes: a request made once, and of the answer no more than status, length and end are looked at.

use super::meter::Meter;
use super::pace::Turns;
use super::{LoadArgs, PATIENCE, PAUSE};
use crate::head::Head;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Exchanges over one connection that is kept.
pub async fn kept(args: Rc<LoadArgs>, mut turns: Turns, meter: Rc<Meter>) {
    let request = request(&args, "");
    let mut kept = None;
    loop {
        let planned = turns.next().await;
        let exchange = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(args.target).await?,
            };
            connection.exchange(&request, args.body).await?;
            Ok::<_, String>(connection)
        };
        kept = match timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
        {
            Ok(connection) => {
                meter.done(2 * args.body, planned);
                Some(connection)
            }
            Err(why) => {
                meter.failed(&why);
                tokio::time::sleep(PAUSE).await;
                None
            }
        };
    }
}

/// Exchanges that each have a connection.
pub async fn fresh(args: Rc<LoadArgs>, mut turns: Turns, meter: Rc<Meter>) {
    let request = request(&args, "Connection: close\r\n");
    loop {
        let planned = turns.next().await;
        let exchange = async {
            let mut connection = Connection::open(args.target).await?;
            connection.exchange(&request, args.body).await?;
            connection.closed().await
        };
        match timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}"))) {
            Ok(()) => meter.done(2 * args.body, planned),
            Err(why) => {
                meter.failed(&why);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What an ordinary client sends; the path asks the server for a body of the same length.
pub(super) fn request(args: &LoadArgs, more: &str) -> Vec<u8> {
    let LoadArgs { authority, body, .. } = args;
    let head = format!(
        "POST /{body} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: bench\r\nAccept: */*\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {body}\r\n{more}\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

/// One connection, at rest between two exchanges.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(target: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(target).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Connection { stream, buffer: vec![0; 64 * 1024] })
    }

    pub(super) async fn exchange(&mut self, request: &[u8], body: usize) -> Result<(), String> {
        self.stream.write_all(request).await.map_err(|error| format!("send: {error}"))?;
        let mut filled = 0;
        let head = loop {
            match self.stream.read(&mut self.buffer[filled..]).await {
                Ok(0) => return Err("the connection was closed before an answer".to_owned()),
                Ok(count) => filled += count,
                Err(error) => return Err(format!("receive: {error}")),
            }
            if let Some(head) = Head::of(&self.buffer[..filled])? {
                break head;
            }
        };
        if head.status() != Some(200) {
            return Err(format!("answered with {}", String::from_utf8_lossy(&self.buffer[..filled.min(300)])));
        }
        if head.content_length != Some(body) {
            return Err(format!("a body of {:?} bytes came where {body} were asked for", head.content_length));
        }
        let mut missing = (head.length + body).checked_sub(filled).ok_or("more came than was asked for")?;
        while missing > 0 {
            let room = missing.min(self.buffer.len());
            match self.stream.read(&mut self.buffer[..room]).await {
                Ok(0) => return Err(format!("the body ended {missing} bytes early")),
                Ok(count) => missing -= count,
                Err(error) => return Err(format!("receive: {error}")),
            }
        }
        Ok(())
    }

    async fn closed(&mut self) -> Result<(), String> {
        match self.stream.read(&mut self.buffer).await {
            Ok(0) => Ok(()),
            Ok(_) => Err("bytes came after the answer".to_owned()),
            Err(error) => Err(format!("at the end: {error}")),
        }
    }
}
