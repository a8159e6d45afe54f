//! The shared libraries of a program, by asking the dynamic loader through `ldd`.

use crate::ImageError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The loader and the libraries that `program` needs, by the paths where the loader found them; none for a static one.
pub fn needed_by(program: &Path) -> Result<Vec<PathBuf>, ImageError> {
    std::fs::metadata(program).map_err(|source| ImageError::Read {
        path: program.to_owned(),
        image: "with this program".to_owned(),
        source,
    })?;
    let failed = |reason: String| ImageError::Helper { command: format!("ldd {}", program.display()), reason };
    let output = Command::new("ldd").arg(program).output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_static = |text: &str| text.contains("statically linked") || text.contains("not a dynamic executable");
    if is_static(&text) || is_static(&errors) {
        return Ok(Vec::new());
    }
    if !output.status.success() {
        return Err(failed(errors.trim().to_owned()));
    }
    let mut paths: Vec<PathBuf> =
        text.lines().filter_map(|line| path(line, program).transpose()).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`; the kernel's own
/// `linux-vdso.so.1 (0x…)` is no file.
fn path(line: &str, program: &Path) -> Result<Option<PathBuf>, ImageError> {
    let line = line.trim();
    let place = match line.split_once(" => ") {
        Some((library, "not found")) => {
            return Err(ImageError::Library { program: program.to_owned(), library: library.to_owned() });
        }
        Some((_, place)) => place,
        None => line,
    };
    let place = place.split(" (").next().unwrap_or(place);
    Ok(place.starts_with('/').then(|| PathBuf::from(place)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::path;
    use std::path::{Path, PathBuf};

    #[test]
    fn lines_of_ldd_are_read() {
        let read = |line| path(line, Path::new("/p"));
        let libc = PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(read("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)").unwrap(), Some(libc));
        let loader = PathBuf::from("/lib64/ld-linux-x86-64.so.2");
        assert_eq!(read("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)").unwrap(), Some(loader));
        assert_eq!(read("\tlinux-vdso.so.1 (0x00007f)").unwrap(), None);
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        let error = path("\tlibfoo.so.1 => not found", Path::new("/bin/x")).unwrap_err();
        assert_eq!(error.to_string(), "/bin/x needs libfoo.so.1, which is not installed");
    }
}
