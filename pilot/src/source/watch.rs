//! Wakes the reader when a watched directory changes: by inotify where it works, by the clock in any case.

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long it must be quiet before the files are read.
const QUIET: Duration = Duration::from_millis(50);
/// Longest wait for quiet.
const LONGEST: Duration = Duration::from_millis(500);
/// How often the files are looked at without a notice.
const POLL: Duration = Duration::from_secs(2);

/// Why the reader was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Something may have changed.
    Look,
    /// The program ends.
    Stop,
}

/// Sent to the watcher's channel.
enum Notice {
    Changed,
    Stop,
}

/// Ends the watching when it is dropped.
pub struct Stopper(Sender<Notice>);

impl Drop for Stopper {
    fn drop(&mut self) {
        // The reader has ended already when nobody listens.
        let _ = self.0.send(Notice::Stop);
    }
}

/// The watched directories.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    notices: Receiver<Notice>,
}

impl Watch {
    pub(super) fn new() -> (Self, Stopper) {
        let (sender, notices) = mpsc::channel();
        let events = sender.clone();
        let handler = move |event: notify::Result<Event>| {
            if event.as_ref().map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                let _ = events.send(Notice::Changed);
            }
        };
        let watcher = RecommendedWatcher::new(handler, Config::default());
        if let Err(error) = &watcher {
            tracing::warn!(%error, "cannot watch for file changes; looking every {} s instead", POLL.as_secs());
        }
        (Self { watcher: watcher.ok(), watched: BTreeSet::new(), notices }, Stopper(sender))
    }

    /// Watches exactly these directories, each by itself: links are resolved by the caller.
    pub(super) fn set(&mut self, directories: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.watched.difference(directories) {
            // It is usually gone from the disk, and its watch with it.
            let _ = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for directory in directories {
            if self.watched.contains(directory) || watch(watcher, directory) {
                watched.insert(directory.clone());
            }
        }
        self.watched = watched;
    }

    /// Waits until something may have changed and it has been quiet since.
    pub(super) fn wait(&self) -> Wake {
        match self.notices.recv_timeout(POLL) {
            Ok(Notice::Changed) => self.settle(),
            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => Wake::Stop,
            Err(RecvTimeoutError::Timeout) => Wake::Look,
        }
    }

    /// Waits for quiet.
    pub(super) fn settle(&self) -> Wake {
        let deadline = Instant::now() + LONGEST;
        while Instant::now() < deadline {
            match self.notices.recv_timeout(QUIET) {
                Ok(Notice::Changed) => {}
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return Wake::Stop,
                Err(RecvTimeoutError::Timeout) => return Wake::Look,
            }
        }
        Wake::Look
    }
}

fn watch(watcher: &mut RecommendedWatcher, directory: &Path) -> bool {
    let result = watcher.watch(directory, RecursiveMode::NonRecursive);
    if let Err(error) = &result {
        let directory = directory.display();
        tracing::warn!(%directory, %error, "cannot watch a directory; changes are seen within {} s", POLL.as_secs());
    }
    result.is_ok()
}
