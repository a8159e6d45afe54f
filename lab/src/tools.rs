//! The programs of the system that the lab runs: iproute2's `ip`, and iptables or nft.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where programs are looked for besides PATH: a user's PATH often lacks the administrator's folders.
const ADMIN_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// A program of the system is missing or failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Not found in PATH or the administrator's folders.
    #[error("`{program}` is missing; install it with `apt-get install iproute2 iptables nftables`")]
    Missing {
        /// Its name, or the names of which one is needed.
        program: String,
    },
    /// It ran and failed.
    #[error("`{command}` failed: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// What it printed on standard error.
        stderr: String,
    },
    /// It could not be run.
    #[error("cannot run `{program}`: {source}")]
    Io {
        /// Its name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The search path for children: the user's, then the administrator's folders.
pub fn search_path() -> String {
    let mut path = std::env::var("PATH").unwrap_or_default();
    for folder in ADMIN_FOLDERS {
        if !path.split(':').any(|one| one == folder) {
            path.push(':');
            path.push_str(folder);
        }
    }
    path
}

/// Where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = search_path();
    path.split(':').map(|folder| PathBuf::from(folder).join(program)).find(|file| file.is_file())
}

/// Checks that all that a lab needs is installed.
///
/// # Errors
/// [`ToolError::Missing`] with the command that installs it.
pub fn check() -> Result<(), ToolError> {
    let missing = |program: &str| Err(ToolError::Missing { program: program.to_owned() });
    if find("ip").is_none() {
        return missing("ip");
    }
    if find("iptables-restore").is_none() && find("nft").is_none() {
        return missing("iptables-restore` or `nft");
    }
    Ok(())
}

/// Runs a program with text on its standard input and returns what it printed.
///
/// # Errors
/// [`ToolError`] when it is missing, cannot start or ends with another status than 0.
pub fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, ToolError> {
    let io = |source| ToolError::Io { program: program.to_owned(), source };
    let file = find(program).ok_or_else(|| ToolError::Missing { program: program.to_owned() })?;
    let mut child = Command::new(file)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading its input says why on standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ToolError::Failed { command: format!("{program} {}", arguments.join(" ")), stderr })
}
