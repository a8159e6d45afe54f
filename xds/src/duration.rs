//! Protobuf durations to and from `std::time::Duration`: the generated types have no conversion of their own.

use std::time::Duration;

use crate::google;

/// The longest duration that protobuf allows: 10,000 years in seconds (google/protobuf/duration.proto).
const MAX_SECONDS: i64 = 315_576_000_000;

/// Why a protobuf duration is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Shorter than zero.
    #[error("{seconds}s {nanos}ns is negative; a length of time that is zero or more is needed")]
    Negative {
        /// The seconds field.
        seconds: i64,
        /// The nanos field.
        nanos: i32,
    },
    /// Outside what google/protobuf/duration.proto allows.
    #[error("{seconds}s {nanos}ns is outside of what protobuf allows (at most 315576000000s and 999999999ns)")]
    OutOfRange {
        /// The seconds field.
        seconds: i64,
        /// The nanos field.
        nanos: i32,
    },
}

/// A protobuf duration as a length of time; negative and malformed ones are errors.
pub fn to_duration(duration: &google::Duration) -> Result<Duration, DurationError> {
    let google::Duration { seconds, nanos } = *duration;
    if seconds < 0 || nanos < 0 {
        return Err(DurationError::Negative { seconds, nanos });
    }
    let (Ok(whole), Ok(part)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
        return Err(DurationError::OutOfRange { seconds, nanos });
    };
    if seconds > MAX_SECONDS || part > 999_999_999 {
        return Err(DurationError::OutOfRange { seconds, nanos });
    }
    Ok(Duration::new(whole, part))
}

/// A length of time as a protobuf duration; what is longer than protobuf allows becomes its maximum.
pub fn from_duration(duration: Duration) -> google::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(MAX_SECONDS);
    if seconds >= MAX_SECONDS {
        return google::Duration { seconds: MAX_SECONDS, nanos: 0 };
    }
    google::Duration { seconds, nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_part_survive_both_ways() {
        for duration in [Duration::ZERO, Duration::from_millis(1500), Duration::new(86_400, 999_999_999)] {
            assert_eq!(to_duration(&from_duration(duration)), Ok(duration));
        }
    }

    #[test]
    fn too_long_becomes_the_longest_that_protobuf_knows() {
        let longest = from_duration(Duration::MAX);
        assert_eq!((longest.seconds, longest.nanos), (315_576_000_000, 0));
        assert_eq!(to_duration(&longest), Ok(Duration::from_secs(315_576_000_000)));
    }

    #[test]
    fn negative_and_malformed_are_refused() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, -5), (i64::MIN, i32::MIN)] {
            let refused = to_duration(&google::Duration { seconds, nanos });
            assert_eq!(refused, Err(DurationError::Negative { seconds, nanos }));
        }
        for (seconds, nanos) in [(0, 1_000_000_000), (315_576_000_001, 0), (i64::MAX, i32::MAX)] {
            let refused = to_duration(&google::Duration { seconds, nanos });
            assert_eq!(refused, Err(DurationError::OutOfRange { seconds, nanos }));
        }
    }
}
