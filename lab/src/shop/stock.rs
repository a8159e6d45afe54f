//! `stock`: how many are left. A TCP protocol of lines in which the server speaks first, as databases and mail servers do:
//! it greets, the client asks with a product's number, and gets a number.

use anyhow::{Context, bail};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const GREETING: &str = "stock 1 ready";
const DEADLINE: Duration = Duration::from_secs(10);

/// Serves until `stop`; a conversation that has begun may end.
pub(super) async fn serve(address: SocketAddr, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let mut conversations = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    conversations.spawn(tokio::time::timeout(DEADLINE, converse(stream)));
                }
            }
            Some(_) = conversations.join_next() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    while conversations.join_next().await.is_some() {}
    Ok(())
}

async fn converse(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{GREETING}\n").as_bytes()).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = match line.trim().parse::<u32>() {
            Ok(product) => format!("{}\n", left(product)),
            Err(_) => "error: ask with a product's number\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// The store never changes: a test can know what it says.
fn left(product: u32) -> u32 {
    product * 7 % 100
}

/// One conversation from the client's side.
pub(super) async fn ask(address: &str, product: u32) -> anyhow::Result<u32> {
    let conversation = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.trim() != GREETING {
            bail!("stock greets with {line:?}");
        }
        stream.write_all(format!("{product}\n").as_bytes()).await?;
        line.clear();
        stream.read_line(&mut line).await?;
        line.trim().parse().with_context(|| format!("stock answers {line:?}"))
    };
    tokio::time::timeout(DEADLINE, conversation).await?
}
