//! The Unix socket: open to its owner only from the first moment, and never in place of something that is in use.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use super::SdsError;

/// A listening socket, whose file goes when it does.
#[derive(Debug)]
pub(super) struct Socket {
    pub listener: UnixListener,
    pub file: SocketFile,
}

/// Removes the socket's file when dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nothing to be done if it is gone already.
        drop(fs::remove_file(&self.0));
    }
}

/// Listens on a path. A socket that a dead process left there is replaced.
pub(super) fn listen(path: &Path) -> Result<Socket, SdsError> {
    let failed = |source| SdsError::Listen { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SdsError::NotASocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(SdsError::InUse(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // Made under another name and moved into place once its mode is right: nobody can open it in between.
    let mut made = path.as_os_str().to_owned();
    made.push(format!(".{}", std::process::id()));
    let made = PathBuf::from(made);
    drop(fs::remove_file(&made));
    let listener = UnixListener::bind(&made).map_err(failed)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    fs::rename(&made, path).map_err(failed)?;
    Ok(Socket { listener, file: SocketFile(path.to_owned()) })
}
