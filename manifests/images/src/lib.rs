//! Container images without a container engine: an [`Image`] is described, then written as one archive that containerd
//! (`ctr -n k8s.io images import`), `docker load` and `skopeo` (`oci-archive:`) take. The same input gives the same
//! bytes: no times, no owners, entries in order.

mod archive;
mod debian;
mod error;
mod layer;
mod libraries;
pub mod ours;

pub use archive::Written;
pub use error::ImageError;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An image of one layer, from scratch. Everything in it belongs to root.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    user: String,
    entrypoint: Vec<String>,
    env: Vec<String>,
    compressed: bool,
    entries: BTreeMap<PathBuf, Entry>,
}

/// What stands at one path of an image.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Directory { mode: u32 },
    File { source: Source, mode: u32 },
    Link { to: PathBuf },
}

/// Where a file's bytes come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Image {
    /// An image with a `/tmp` for all, the mount points that runtimes expect, and a PATH.
    ///
    /// `name` is the whole reference, as containerd writes it: `docker.io/meltemi/meltemi:0.1.0`.
    pub fn new(name: &str) -> Image {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        let image = Image {
            name: name.to_owned(),
            user: String::new(),
            entrypoint: Vec::new(),
            env: vec![path],
            compressed: true,
            entries: BTreeMap::new(),
        };
        ["/dev", "/etc", "/proc", "/sys"]
            .into_iter()
            .fold(image, |image, folder| image.directory(folder, 0o755))
            .directory("/tmp", 0o1777)
    }

    /// Who the program runs as, `uid:gid`; root without it.
    #[must_use]
    pub fn user(mut self, user: &str) -> Image {
        user.clone_into(&mut self.user);
        self
    }

    /// The command that the container runs, before the arguments that the pod gives.
    #[must_use]
    pub fn entrypoint<I: IntoIterator<Item: Into<String>>>(mut self, words: I) -> Image {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Image {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Leaves the layer uncompressed: quicker to write and to import, larger on disk. For tests.
    #[must_use]
    pub fn uncompressed(mut self) -> Image {
        self.compressed = false;
        self
    }

    /// A folder. Those above a file are made anyway, with mode 755.
    #[must_use]
    pub fn directory(mut self, target: impl Into<PathBuf>, mode: u32) -> Image {
        self.entries.insert(target.into(), Entry::Directory { mode });
        self
    }

    /// A file of this machine at the absolute path `target`; links are followed. What another user than root runs or
    /// reads needs a mode that lets it: 755, 644.
    #[must_use]
    pub fn file(self, source: impl Into<PathBuf>, target: impl Into<PathBuf>, mode: u32) -> Image {
        self.put(target.into(), Entry::File { source: Source::File(source.into()), mode })
    }

    /// A file with this text, mode 644.
    #[must_use]
    pub fn text(self, target: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Image {
        self.put(target.into(), Entry::File { source: Source::Bytes(text.into()), mode: 0o644 })
    }

    /// A symbolic link at `target` that leads to `to`.
    #[must_use]
    pub fn link(self, target: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Image {
        self.put(target.into(), Entry::Link { to: to.into() })
    }

    /// A program with mode 755, and the shared libraries that it needs at the paths where its loader looks for them.
    ///
    /// # Errors
    /// When `ldd` cannot tell its libraries.
    pub fn program(self, source: impl AsRef<Path>, target: impl Into<PathBuf>) -> Result<Image, ImageError> {
        let source = source.as_ref();
        let libraries = libraries::needed_by(source)?;
        let image = self.file(source, target, 0o755);
        Ok(libraries.into_iter().fold(image, |image, library| image.file(library.clone(), library, 0o755)))
    }

    /// The files of this machine that it packs.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Path> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::File { source: Source::File(path), .. } => Some(path.as_path()),
            _ => None,
        })
    }

    /// Writes the archive to the file `target`.
    ///
    /// # Errors
    /// When a file cannot be read, or the archive not be written.
    pub fn write(&self, target: &Path) -> Result<Written, ImageError> {
        archive::write(self, target)
    }

    fn put(mut self, target: PathBuf, entry: Entry) -> Image {
        for folder in target.ancestors().skip(1).filter(|folder| folder.parent().is_some()) {
            self.entries.entry(folder.to_owned()).or_insert(Entry::Directory { mode: 0o755 });
        }
        self.entries.insert(target, entry);
        self
    }
}
