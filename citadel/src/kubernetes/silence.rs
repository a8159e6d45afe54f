//! How long the API server may be silent: one that vanished without a word is noticed within a minute or two.

use std::time::Duration;

/// How long one watch lasts, in seconds; then it is begun anew.
pub const WATCH_SECONDS: u32 = 60;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A watch without events ends before.
const READ_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);

/// The same way to the API server, with an end to every wait. Watches over it must not last longer than [`WATCH_SECONDS`].
pub fn bounded(mut config: kube::Config) -> kube::Config {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    config
}
