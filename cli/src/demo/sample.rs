//! The sample shop's directory: the checkout's own, or a copy of what is compiled in, for those who have only the binary.

use anyhow::Context;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
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
    copy: bool,
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
        Ok(Sample { path, copy: false })
    }

    fn copy() -> anyhow::Result<Sample> {
        let path = std::env::temp_dir().join(format!("meltemi-shop-{}", std::process::id()));
        // Fails when something of this name is there already, so that nobody can lay a trap under it.
        let path = (0..100)
            .map(|try_number| path.with_extension(try_number.to_string()))
            .find(|path| fs::DirBuilder::new().mode(0o700).create(path).is_ok())
            .context("cannot create a temporary directory for the sample; give one with --config-dir")?;
        for (name, text) in FILES {
            fs::write(path.join(name), text).with_context(|| format!("write {}", path.join(name).display()))?;
        }
        Ok(Sample { path, copy: true })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_edited(&self) -> bool {
        let files = fs::read_dir(&self.path).map(Iterator::count).unwrap_or_default();
        let same = |(name, text): &(&str, &str)| fs::read_to_string(self.path.join(name)).is_ok_and(|now| now == *text);
        files != FILES.len() || !FILES.iter().all(same)
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        if self.copy && !self.is_edited() {
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
