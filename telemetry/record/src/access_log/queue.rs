//! The way of a line to its file: a queue bounded in bytes, and a thread that writes in batches. A full
//! disk or a stalled reader costs lines, which are counted, and never a request.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::Entry;
use crate::instruments::Counter;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::names::ACCESS_LOG_DROPPED_TOTAL;

/// How many bytes may wait for the writer.
const QUEUED_BYTES: usize = 4 << 20;
/// How long the writer gathers lines after the first. Waking it for each line would cost every request a
/// system call.
const GATHER: Duration = Duration::from_millis(20);
/// At most this much goes into one write.
const BATCH_BYTES: usize = 256 << 10;

/// The access log of a process. Clones feed the same writer.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: Sender<Message>,
    queued: Arc<AtomicUsize>,
    dropped: Counter,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Everything before this one is written when the answer comes.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Writes to `out` from a thread of its own. The thread ends with the last clone.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(out: Box<dyn Write + Send>, metrics: &Metrics) -> io::Result<Self> {
        let (queue, lines) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let help = "Access log lines dropped because the writer could not keep up or failed.";
        let dropped = metrics.counter(ACCESS_LOG_DROPPED_TOTAL, help);
        let writer = Writer { out, lines, queued: queued.clone(), dropped: dropped.clone() };
        thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?;
        Ok(Self { queue, queued, dropped })
    }

    /// Appends to the file at `path`; `/dev/stdout` and `/dev/stderr` mean this process's own.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn to_path(path: &Path, metrics: &Metrics) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = match path.to_str() {
            Some("/dev/stdout") => Box::new(io::stdout()),
            Some("/dev/stderr") => Box::new(io::stderr()),
            _ => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        Self::new(out, metrics)
    }

    /// Queues one line. Never blocks: when the queue is full the line is dropped and counted.
    pub fn log(&self, entry: &Entry<'_>) {
        let line = entry.line();
        let bytes = line.len();
        let queued = self.queued.fetch_add(bytes, Relaxed);
        let sent = queued + bytes <= QUEUED_BYTES && self.queue.send(Message::Line(line)).is_ok();
        if !sent {
            self.queued.fetch_sub(bytes, Relaxed);
            self.dropped.inc();
        }
    }

    /// Blocks until every line queued so far is written, at most for `wait`. Says whether that was so.
    pub fn flush(&self, wait: Duration) -> bool {
        let (done, written) = sync_channel(1);
        self.queue.send(Message::Flush(done)).is_ok() && written.recv_timeout(wait).is_ok()
    }
}

struct Writer {
    out: Box<dyn Write + Send>,
    lines: Receiver<Message>,
    queued: Arc<AtomicUsize>,
    dropped: Counter,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Batch::default();
        while let Ok(first) = self.lines.recv() {
            let gather = matches!(first, Message::Line(_));
            self.take(first, &mut batch);
            if gather {
                thread::sleep(GATHER);
            }
            while let Ok(next) = self.lines.try_recv() {
                self.take(next, &mut batch);
            }
            self.write(&mut batch);
        }
    }

    fn take(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::Line(line) => {
                batch.text.push_str(&line);
                batch.lines += 1;
                if batch.text.len() >= BATCH_BYTES {
                    self.write(batch);
                }
            }
            Message::Flush(done) => {
                self.write(batch);
                // Whoever asked may have stopped waiting.
                let _ = done.try_send(());
            }
        }
    }

    fn write(&mut self, batch: &mut Batch) {
        static FAILED: LogLimit = LogLimit::new(Duration::from_secs(60));
        if batch.lines == 0 {
            return;
        }
        let written = self.out.write_all(batch.text.as_bytes()).and_then(|()| self.out.flush());
        if let Err(error) = written {
            self.dropped.add(batch.lines);
            if let Some(suppressed) = FAILED.admit() {
                tracing::warn!(%error, lines = batch.lines, suppressed, "access log lines could not be written and are lost");
            }
        }
        self.queued.fetch_sub(batch.text.len(), Relaxed);
        batch.text.clear();
        batch.text.shrink_to(BATCH_BYTES);
        batch.lines = 0;
    }
}

#[derive(Default)]
struct Batch {
    text: String,
    lines: u64,
}
