//! Log lines to standard error, for people or for machines.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged unless RUST_LOG says otherwise. What fails on the way to an API server is said by whoever asked it.
const DEFAULT_FILTER: &str = "info,kube_client=off,kube_runtime=off";

/// Level `info` unless RUST_LOG says otherwise.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
}
