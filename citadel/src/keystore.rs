//! The state directory: where the control plane's private keys live. Files are written whole or not at all,
//! readable by their owner only, and a key that others could have read is not used.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const STICKY: u32 = 0o1000;

/// What is wrong with the state directory or a file in it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// An operation of the file system failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may write into the directory, so they could put a key of their own there.
    #[error(
        "{} has mode {mode:04o}: others could replace the keys in it; run `chmod 700 {}` or name a directory of your own",
        path.display(), path.display()
    )]
    DirectoryOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may read the key.
    #[error(
        "{} has mode {mode:04o}: others may have read this private key, so it is not used; if nobody has, run `chmod 600 {}`, else remove it and start anew",
        path.display(), path.display()
    )]
    KeyOpen {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The contents are not what they should be.
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// An open state directory, locked against another process that starts at the same time.
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory (mode 0700) if there is none, and waits for its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed("create", path, e))?;
        let mode = fs::metadata(path).map_err(|e| failed("read", path, e))?.mode();
        if mode & 0o022 != 0 && mode & STICKY == 0 {
            let mode = mode & 0o7777;
            return Err(StateError::DirectoryOpen { path: path.to_owned(), mode });
        }
        let lock_path = path.join(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| failed("open", &lock_path, e))?;
        lock.lock().map_err(|e| failed("lock", &lock_path, e))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's text, `None` if there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        self.read_checked(name, |_, _| Ok(()))
    }

    /// A private key's text, `None` if there is no such file; refused when others could read it.
    pub(crate) fn read_private(&self, name: &str) -> Result<Option<String>, StateError> {
        self.read_checked(name, |path, file| {
            let mode = file.metadata().map_err(|e| failed("read", path, e))?.permissions().mode();
            if mode & 0o077 != 0 {
                let mode = mode & 0o7777;
                return Err(StateError::KeyOpen { path: path.to_owned(), mode });
            }
            Ok(())
        })
    }

    fn read_checked(
        &self,
        name: &str,
        check: impl Fn(&Path, &File) -> Result<(), StateError>,
    ) -> Result<Option<String>, StateError> {
        let path = self.file(name);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("open", &path, e)),
        };
        check(&path, &file)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| failed("read", &path, e))?;
        Ok(Some(text))
    }

    /// Writes a file (mode 0600) so that a crash leaves the old one or the new one, never a part.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        let path = self.file(name);
        let unfinished = self.file(&format!(".{name}.new"));
        match fs::remove_file(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &unfinished, e));
            }
            _ => {}
        }
        write_new(&unfinished, text).map_err(|e| failed("write", &unfinished, e))?;
        fs::rename(&unfinished, &path).map_err(|e| failed("write", &path, e))?;
        let directory = File::open(&self.path).map_err(|e| failed("open", &self.path, e))?;
        directory.sync_all().map_err(|e| failed("sync", &self.path, e))
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StateError {
    StateError::Io { action, path: path.to_owned(), source }
}
