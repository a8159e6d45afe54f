//! The sample shop's directory: the checkout's own, or a copy of what is compiled in, for those who have only the binary.

use anyhow::{Context, bail};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where a checkout has it.
const IN_CHECKOUT: &str = "manifests/samples/shop";

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../manifests/samples/shop/", $name)))),*]
    };
}

const FILES: [(&str, &str); 11] = embedded![
    "README.md",
    "catalog-routes.yaml",
    "catalog-subsets.yaml",
    "catalog.yaml",
    "frontend.yaml",
    "mtls.yaml",
    "namespace.yaml",
    "ratings.yaml",
    "reviews.yaml",
    "stock.yaml",
    "visitors.yaml",
];

/// A directory of objects to run. A copy that nobody has edited is removed with it.
#[derive(Debug)]
pub struct Sample {
    path: PathBuf,
    /// The lock on a copy, which says that it is in use.
    copy: Option<File>,
}

impl Sample {
    /// The given directory, else the checkout's sample, else a copy in a temporary directory.
    ///
    /// # Errors
    /// When the given directory does not exist or the copy cannot be written.
    pub fn find(given: Option<&Path>) -> anyhow::Result<Sample> {
        let path = given.unwrap_or(Path::new(IN_CHECKOUT));
        if given.is_none() && !path.is_dir() {
            return Sample::copy();
        }
        let path = fs::canonicalize(path).with_context(|| format!("--config-dir {}", path.display()))?;
        if path.starts_with("/run") {
            bail!("--config-dir {}: the demo has a /run of its own; copy the directory elsewhere", path.display());
        }
        Ok(Sample { path, copy: None })
    }

    /// In a directory that a killed demo has left behind, or a new one.
    fn copy() -> anyhow::Result<Sample> {
        let places = (0..100).map(|number| std::env::temp_dir().join(format!("meltemi-shop-{number}")));
        let (path, lock) = places
            .filter_map(|path| Some((path.clone(), take(&path)?)))
            .find(|(path, _)| !is_edited(path))
            .context("cannot create a temporary directory for the sample; give one with --config-dir")?;
        for (name, text) in FILES {
            fs::write(path.join(name), text).with_context(|| format!("write {}", path.join(name).display()))?;
        }
        Ok(Sample { path, copy: Some(lock) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes a directory for ourselves alone, new or left by a demo of ours that ended; `None` when it is in use or somebody else's.
fn take(path: &Path) -> Option<File> {
    // Never through a link, and only what nobody else can write: another user must not lay a trap under this name.
    let _ = fs::DirBuilder::new().mode(0o700).create(path);
    let found = fs::symlink_metadata(path).ok()?;
    let ours = found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o077 == 0;
    let directory = File::open(path).ok().filter(|_| ours)?;
    directory.try_lock().is_ok().then_some(directory)
}

/// Whether a copy holds anything that is not ours word for word.
fn is_edited(path: &Path) -> bool {
    let names = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let same = |name: &OsStr| {
        let file = FILES.iter().find(|(file, _)| OsStr::new(file) == name);
        file.is_some_and(|(name, text)| fs::read_to_string(path.join(name)).is_ok_and(|now| now == *text))
    };
    !names.into_iter().all(|name| same(&name))
}

impl Drop for Sample {
    fn drop(&mut self) {
        if self.copy.is_some() && !is_edited(&self.path) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{FILES, Sample};
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_file_of_the_sample_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples/shop");
        let mut there: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        assert_eq!(there, FILES.map(|(name, _)| name.to_owned()));
    }

    #[test]
    fn a_copy_goes_unless_it_was_edited() {
        let untouched = Sample::copy().unwrap();
        let edited = Sample::copy().unwrap();
        let (first, second) = (untouched.path().to_owned(), edited.path().to_owned());
        fs::write(second.join("mtls.yaml"), "edited").unwrap();
        drop((untouched, edited));
        assert!(!first.exists() && second.exists());
        fs::remove_dir_all(second).unwrap();
    }
}
