//! The state directory: where the control plane's private keys live. Files are written whole or not at all,
//! readable by their owner only, and a key that others could have read or put there is not used.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const ROOT: u32 = 0;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o077;

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
    /// The directory's owner may put a key of their own there.
    #[error(
        "{} belongs to uid {owner}, but this process runs as uid {uid}: its owner could replace the keys in it; run as uid {owner}, or name a directory of your own, or, if nobody else has used it, run `chown -R {uid} {}`",
        path.display(), path.display()
    )]
    DirectoryNotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// This process's effective user.
        uid: u32,
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
    /// Somebody else made the key, or may read it.
    #[error(
        "{} belongs to uid {owner}, but this process runs as uid {uid}: its owner knows this private key, so it is not used; run as uid {owner}, or, if that was you, run `chown {uid} {}`, else remove it and start anew",
        path.display(), path.display()
    )]
    KeyNotOurs {
        /// The key file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// This process's effective user.
        uid: u32,
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
        let found = fs::metadata(path).map_err(|e| failed("read", path, e))?;
        check_directory(path, &found, effective_uid())?;
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

    /// A private key's text, `None` if there is no such file; refused when others could read or have made it.
    pub(crate) fn read_private(&self, name: &str) -> Result<Option<String>, StateError> {
        self.read_checked(name, |path, file| {
            let found = file.metadata().map_err(|e| failed("read", path, e))?;
            check_key(path, &found, effective_uid())
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

/// Owners and this user alike are as the process's user namespace shows them.
fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The sticky bit does not help: others could still put a file there before we do.
fn check_directory(path: &Path, found: &Metadata, uid: u32) -> Result<(), StateError> {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    if owner != uid && owner != ROOT {
        return Err(StateError::DirectoryNotOurs { path: path.to_owned(), owner, uid });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(StateError::DirectoryOpen { path: path.to_owned(), mode });
    }
    Ok(())
}

fn check_key(path: &Path, found: &Metadata, uid: u32) -> Result<(), StateError> {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    if owner != uid {
        return Err(StateError::KeyNotOurs { path: path.to_owned(), owner, uid });
    }
    if mode & OPEN_TO_OTHERS != 0 {
        return Err(StateError::KeyOpen { path: path.to_owned(), mode });
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StateError {
    StateError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Ours, as another user sees it: their uid is not the owner's.
    #[test]
    fn what_another_user_owns_is_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_new(&path, "key").unwrap();
        let (found, uid) = (fs::metadata(&path).unwrap(), effective_uid());
        check_key(&path, &found, uid).unwrap();
        let error = check_key(&path, &found, uid + 1).unwrap_err().to_string();
        assert!(error.contains(&format!("belongs to uid {uid}")), "{error}");
        assert!(error.contains(&format!("chown {} {}", uid + 1, path.display())), "{error}");

        let found = fs::metadata(dir.path()).unwrap();
        check_directory(dir.path(), &found, uid).unwrap();
        let refused = check_directory(dir.path(), &found, uid + 1);
        assert_eq!(refused.is_err(), uid != ROOT, "root's directory is good for everybody: {refused:?}");
    }

    /// Only root can give files away, so this says nothing when others run it.
    #[test]
    fn a_directory_or_key_that_was_given_away_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let state = StateDir::open(&path).unwrap();
        state.write("key.pem", "key").unwrap();
        let stranger = effective_uid() + 1;
        if std::os::unix::fs::chown(state.file("key.pem"), Some(stranger), None).is_err() {
            return;
        }
        assert!(matches!(state.read_private("key.pem"), Err(StateError::KeyNotOurs { .. })));
        drop(state);
        std::os::unix::fs::chown(&path, Some(stranger), None).unwrap();
        let error = StateDir::open(&path).err().unwrap().to_string();
        assert!(error.contains("a directory of your own"), "{error}");
    }
}
