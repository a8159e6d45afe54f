//! What idle connections cost: memory with one connection, then with many more of which each has made one request.

use super::LoadArgs;
use super::http1::{Connection, request};
use super::meter::Report;
use super::watch::{Used, resident};
use std::time::{Duration, Instant};

/// One after the other, so that the proxies need no more than one connection between them.
///
/// # Errors
/// When a watched process has ended.
pub async fn run(args: &LoadArgs) -> anyhow::Result<Report> {
    let started = Instant::now();
    // For what is freed a moment after the last answer.
    let settle = Duration::from_secs_f64(args.seconds.min(2.0));
    let mut held = Held { report: Report::default(), connections: Vec::new() };
    held.open(args, 1).await;
    tokio::time::sleep(settle).await;
    held.report.rss_before = resident(&args.watch)?;
    held.open(args, args.connections).await;
    tokio::time::sleep(settle).await;
    held.report.used = Used { rss: resident(&args.watch)?, ..Used::default() };
    held.report.seconds = started.elapsed().as_secs_f64();
    Ok(held.report)
}

struct Held {
    report: Report,
    connections: Vec<Connection>,
}

impl Held {
    async fn open(&mut self, args: &LoadArgs, count: usize) {
        let request = request(args, "");
        for _ in 0..count {
            let opened = async {
                let mut connection = Connection::open(args.target).await?;
                connection.exchange(&request, args.body).await?;
                Ok::<_, String>(connection)
            };
            match opened.await {
                Ok(connection) => {
                    self.report.finished += 1;
                    self.connections.push(connection);
                }
                Err(why) => {
                    self.report.failed += 1;
                    self.report.first_failure.get_or_insert(why);
                }
            }
        }
    }
}
