//! Why an image cannot be made, and what to do about it.

use std::path::{Path, PathBuf};

/// A failure, with the file or program that it concerns.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file that belongs in an image cannot be read.
    #[error("cannot read {}, which the image {image} needs: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The image's name.
        image: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that helps is missing or failed.
    #[error("`{command}` failed: {reason}; images are made on Debian or Ubuntu, with libc-bin, dpkg and iptables")]
    Helper {
        /// The command line.
        command: String,
        /// What it or the system said.
        reason: String,
    },
    /// A program needs a library that this machine does not have.
    #[error("{} needs {library}, which is not installed", program.display())]
    Library {
        /// The program.
        program: PathBuf,
        /// The library's name.
        library: String,
    },
    /// A file without a package has no known licence, and may not be shipped.
    #[error("no Debian package owns {}, so its licence is not known", path.display())]
    Unowned {
        /// The file.
        path: PathBuf,
    },
}

impl ImageError {
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError {
        let path = path.to_owned();
        move |source| ImageError::Write { path, source }
    }
}
