//! Why a request or connection ended as it did: Envoy's response flags, with its short codes (metrics,
//! access log) and long names (configuration, people).

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of response flags. Displays as Envoy's short codes in Envoy's order, `-` when empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u32);

macro_rules! flags {
    ($($bit:literal $code:ident $long:ident $doc:literal;)*) => {
        impl ResponseFlags {
            $(#[doc = $doc] pub const $code: Self = Self(1 << $bit);)*
            /// Short code and long name by bit, in the order in which Envoy writes them.
            const NAMES: &[(&str, &str)] = &[$((stringify!($code), stringify!($long)),)*];
        }
    };
}

// The bits count up from 0 without a gap: `NAMES` is indexed by them.
flags! {
    0 LH FailedLocalHealthCheck "The local service failed its health check.";
    1 UH NoHealthyUpstream "No healthy upstream host in the cluster.";
    2 UT UpstreamRequestTimeout "The upstream did not answer in time.";
    3 LR LocalReset "The connection was reset on this side.";
    4 UR UpstreamRemoteReset "The upstream reset the stream.";
    5 UF UpstreamConnectionFailure "No connection to the upstream could be made.";
    6 UC UpstreamConnectionTermination "The upstream closed the connection.";
    7 UO UpstreamOverflow "A circuit breaker of the cluster was open.";
    8 NR NoRouteFound "No route, or no filter chain, for the request.";
    9 DI DelayInjected "A fault delayed the request.";
    10 FI FaultInjected "A fault answered the request.";
    11 RL RateLimited "The request was over its rate limit.";
    12 UAEX UnauthorizedExternalService "The external authorisation service said no.";
    13 RLSE RateLimitServiceError "The rate limit service failed.";
    14 DC DownstreamConnectionTermination "The client went away.";
    15 URX UpstreamRetryLimitExceeded "All retries, or all connection attempts, were used up.";
    16 SI StreamIdleTimeout "The stream was idle for too long.";
    17 IH InvalidEnvoyRequestHeaders "A header of the proxy's own had an invalid value.";
    18 DPE DownstreamProtocolError "The client broke the HTTP protocol.";
    19 UMSDR UpstreamMaxStreamDurationReached "The stream reached its longest allowed life.";
    20 RFCF ResponseFromCacheFilter "The answer came from a cache.";
    21 NFCF NoFilterConfigFound "A filter's configuration did not arrive in time.";
    22 DT DurationTimeout "The connection or request reached its longest allowed duration.";
    23 UPE UpstreamProtocolError "The upstream broke the HTTP protocol.";
    24 NC NoClusterFound "The route's cluster does not exist.";
    25 OM OverloadManagerTerminated "The proxy shed load.";
    26 DF DnsResolutionFailed "The upstream's name did not resolve.";
    27 DO DropOverload "The cluster drops a share of its load.";
    28 DR DownstreamRemoteReset "The client reset the stream.";
}

impl ResponseFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set as a number: one bit a flag. Its meaning holds within one process only.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// Envoy's long names of the flags, in its order.
    pub fn long_names(self) -> impl Iterator<Item = &'static str> {
        self.names().map(|(_, long)| *long)
    }

    fn names(self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        Self::NAMES.iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, names)| names)
    }
}

impl BitOr for ResponseFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ResponseFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (index, (code, _)) in self.names().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(code)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::ResponseFlags;

    #[test]
    fn no_flag_reads_a_dash() {
        assert_eq!(ResponseFlags::default().to_string(), "-");
    }

    #[test]
    fn flags_read_in_envoys_order_whatever_order_they_were_set_in() {
        let flags = ResponseFlags::URX | ResponseFlags::UF;
        assert_eq!(flags.to_string(), "UF,URX");
        assert_eq!(flags.long_names().collect::<Vec<_>>(), ["UpstreamConnectionFailure", "UpstreamRetryLimitExceeded"]);
    }

    #[test]
    fn each_bit_carries_its_own_name() {
        for (bit, (code, _)) in ResponseFlags::NAMES.iter().enumerate() {
            assert_eq!(ResponseFlags(1 << bit).to_string(), *code);
        }
        assert_eq!(ResponseFlags::DR.to_string(), "DR");
    }
}
