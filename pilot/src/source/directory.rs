//! The directory source: every YAML file below a directory, read again when it changes.

use super::problem::SourceProblem;
use super::registry::Registry;
use super::scan::{Found, scan};
use super::watch::{Wake, Watch};
use super::{Reload, Running};
use crate::validate::Settings;
use std::io;
use std::path::PathBuf;
use std::thread;

/// How often a look that would lose objects is repeated before it is believed. An editor that replaces a file,
/// or one that writes it in pieces, is done by then.
const DOUBTS: usize = 2;

/// A configuration directory.
pub struct Directory {
    root: PathBuf,
    registry: Registry,
    watch: Watch,
    /// Why the directory itself cannot be read at present.
    trouble: Option<String>,
    /// Some directory below could not be read last time.
    unreadable: bool,
}

impl Directory {
    /// Reads the directory for the first time. Fails only when the directory itself cannot be read.
    pub fn open(root: PathBuf, settings: Settings) -> io::Result<(Self, Reload, Running)> {
        let (watch, stopper) = Watch::new();
        let mut directory = Self { root, registry: Registry::new(settings), watch, trouble: None, unreadable: false };
        // Watching starts before reading, so that no change falls in between.
        directory.watch.set(&[directory.root.canonicalize()?].into());
        let found = scan(&directory.root, &directory.registry.stamps())?;
        let reload = directory.take(found);
        Ok((directory, reload, Running::Directory(stopper)))
    }

    /// Calls `publish` from a thread of its own after every look at the files, until `Running` is dropped.
    pub fn run(mut self, mut publish: impl FnMut(Reload) + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name("config".into());
        thread
            .spawn(move || {
                while let Some(reload) = self.next() {
                    publish(reload)
                }
            })
            .map(drop)
    }

    /// Waits for a change and reads; None at the end.
    fn next(&mut self) -> Option<Reload> {
        loop {
            if self.watch.wait() == Wake::Stop {
                return None;
            }
            match self.look()? {
                Ok(found) if self.registry.is_unchanged(&found) && !self.unreadable => {
                    self.watch.set(&found.directories)
                }
                Ok(found) => {
                    self.trouble = None;
                    return Some(self.take(found));
                }
                Err(error) => self.report(&error),
            }
        }
    }

    /// Looks at the files, twice when objects seem to be lost. None at the end of the program.
    fn look(&mut self) -> Option<io::Result<Found>> {
        let stamps = self.registry.stamps();
        for _ in 0..DOUBTS {
            match scan(&self.root, &stamps) {
                Ok(found) if self.registry.would_lose(&found) => {}
                result => return Some(result),
            }
            if self.watch.settle() == Wake::Stop {
                return None;
            }
        }
        Some(scan(&self.root, &stamps))
    }

    fn take(&mut self, found: Found) -> Reload {
        self.watch.set(&found.directories);
        let unreadable = found.unreadable.iter().map(|(path, error)| {
            let message = format!("cannot be read: {error}; what was read below it before stays in force");
            SourceProblem::in_file(&path.as_str().into(), 0, message)
        });
        let unreadable: Vec<_> = unreadable.collect();
        self.unreadable = !unreadable.is_empty();
        self.registry.apply(found);
        let (candidates, mut problems) = self.registry.candidates();
        problems.extend(unreadable);
        Reload { candidates, problems, complete: true }
    }

    /// Says once that the directory cannot be read; everything stays in force meanwhile.
    fn report(&mut self, error: &io::Error) {
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            let directory = self.root.display();
            tracing::error!(%directory, %error, "cannot read the configuration directory; the last configuration stays in force");
            self.trouble = Some(text);
        }
    }
}
