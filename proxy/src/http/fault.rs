//! Delays and aborts on purpose: `HTTPFault`.

use std::time::Duration;

use http::StatusCode;

use super::decide::RequestView;
use super::fraction::Fraction;
use super::matching::HeaderMatch;

/// Faults for a share of the requests.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// Wait so long before the request goes on.
    pub delay: Option<(Duration, Fraction)>,
    /// Answer instead of the upstream, after the delay.
    pub abort: Option<(Abort, Fraction)>,
    /// Only requests with all of these.
    pub headers: Vec<HeaderMatch>,
}

/// What an abort answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// This status.
    Http(StatusCode),
    /// Status 200 with this gRPC status.
    Grpc(u16),
}

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// Wait.
    pub delay: Option<Duration>,
    /// Then answer with this.
    pub abort: Option<Abort>,
}

impl Fault {
    /// What is done to a request that drew these; a delay and an abort are drawn for independently.
    pub fn decide(&self, view: &RequestView<'_>, random_delay: u64, random_abort: u64) -> Injected {
        if !self.headers.iter().all(|header| header.matches(view)) {
            return Injected::default();
        }
        Injected {
            delay: self.delay.filter(|(_, share)| share.hits(random_delay)).map(|(delay, _)| delay),
            abort: self.abort.filter(|(_, share)| share.hits(random_abort)).map(|(abort, _)| abort),
        }
    }
}

#[cfg(test)]
mod tests;
