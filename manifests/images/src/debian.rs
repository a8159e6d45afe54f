//! Which Debian package a packed file comes from, and that package's licence: what the NOTICE of an image must say.

use crate::ImageError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A binary package, with the source that it was built from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub source: String,
    pub source_version: String,
}

impl Package {
    /// Debian's file with its licences.
    pub fn copyright(&self) -> PathBuf {
        PathBuf::from(format!("/usr/share/doc/{}/copyright", self.name))
    }
}

/// The packages that own `files`, each once.
pub fn owners<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Vec<Package>, ImageError> {
    let names: BTreeSet<String> = files.into_iter().map(owner).collect::<Result<_, _>>()?;
    names.iter().map(|name| describe(name)).collect()
}

fn owner(file: &Path) -> Result<String, ImageError> {
    // Debian merged /lib into /usr/lib, and its packages name either.
    let below_usr = Path::new("/usr").join(file.strip_prefix("/").unwrap_or(file));
    let without_usr = file.strip_prefix("/usr").map(|rest| Path::new("/").join(rest));
    let candidates = [Some(file.to_owned()), Some(below_usr), without_usr.ok()];
    for candidate in candidates.into_iter().flatten() {
        let output = query(&["--search", &candidate.to_string_lossy()])?;
        if let Some((name, _)) = output.as_deref().and_then(|line| line.split_once(": ")) {
            return Ok(name.to_owned());
        }
    }
    Err(ImageError::Unowned { path: file.to_owned() })
}

fn describe(name: &str) -> Result<Package, ImageError> {
    let format = "--showformat=${Package} ${Version} ${source:Package} ${source:Version}";
    let text = query(&["--show", format, name])?.unwrap_or_default();
    match text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().as_slice() {
        [name, version, source, source_version] => Ok(Package {
            name: name.clone(),
            version: version.clone(),
            source: source.clone(),
            source_version: source_version.clone(),
        }),
        _ => Err(ImageError::Helper { command: format!("dpkg-query --show {name}"), reason: text }),
    }
}

/// What `dpkg-query` prints, or `None` when it knows nothing.
fn query(arguments: &[&str]) -> Result<Option<String>, ImageError> {
    let run = Command::new("dpkg-query").args(arguments).output();
    let output = run.map_err(|error| ImageError::Helper {
        command: format!("dpkg-query {}", arguments.join(" ")),
        reason: error.to_string(),
    })?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}
