//! Plain TCP against a server that sends everything back: as many bytes as go through, or a connection for each few bytes.

use super::meter::Meter;
use super::pace::Turns;
use super::{LoadArgs, PATIENCE, PAUSE};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

const CHUNK: usize = 256 * 1024;

/// Sends as fast as the connection takes it, and receives at the same time.
pub async fn bulk(args: Rc<LoadArgs>, meter: Rc<Meter>) {
    loop {
        let why = match open(&args).await {
            Ok(stream) => {
                let (receiving, sending) = stream.into_split();
                tokio::select! {
                    why = flood(sending) => why,
                    why = receive(receiving, &meter) => why,
                }
            }
            Err(why) => why,
        };
        meter.failed(&why);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why it ended.
async fn flood(mut sending: OwnedWriteHalf) -> String {
    let chunk = vec![b'x'; CHUNK];
    loop {
        if let Err(error) = sending.write_all(&chunk).await {
            return format!("send: {error}");
        }
    }
}

/// Why it ended.
async fn receive(mut receiving: OwnedReadHalf, meter: &Meter) -> String {
    let mut buffer = vec![0; CHUNK];
    loop {
        match receiving.read(&mut buffer).await {
            Ok(0) => return "the connection was closed".to_owned(),
            Ok(count) if buffer[0] != b'x' || buffer[count - 1] != b'x' => {
                return "other bytes came back than were sent".to_owned();
            }
            // What comes back has gone before.
            Ok(count) => meter.done(2 * count, None),
            Err(error) => return format!("receive: {error}"),
        }
    }
}

/// One connection, a few bytes there and back, the end; then the next.
pub async fn connections(args: Rc<LoadArgs>, mut turns: Turns, meter: Rc<Meter>) {
    loop {
        let planned = turns.next().await;
        match timeout(PATIENCE, one(&args)).await.unwrap_or_else(|_| Err(format!("no echo within {PATIENCE:?}"))) {
            Ok(()) => meter.done(2 * args.body, planned),
            Err(why) => {
                meter.failed(&why);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn one(args: &LoadArgs) -> Result<(), String> {
    let mut stream = open(args).await?;
    let sent = vec![b'x'; args.body];
    stream.write_all(&sent).await.map_err(|error| format!("send: {error}"))?;
    let mut back = vec![0; args.body];
    stream.read_exact(&mut back).await.map_err(|error| format!("receive: {error}"))?;
    if back != sent {
        return Err("other bytes came back than were sent".to_owned());
    }
    stream.shutdown().await.map_err(|error| format!("close: {error}"))?;
    match stream.read(&mut back).await {
        Ok(0) => Ok(()),
        Ok(_) => Err("more came back than was sent".to_owned()),
        Err(error) => Err(format!("at the end: {error}")),
    }
}

async fn open(args: &LoadArgs) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(args.target).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}
