//! Durations as the APIs write them: decimal numbers with units, `1.5s` or `1h30m`.

use super::Check;
use crate::yaml::FieldPath;
use std::time::Duration;

/// Longest duration: ten years, far below what timers and protobuf durations can hold.
const LONGEST: f64 = 315_360_000.0;

impl Check<'_> {
    /// A duration of at least 1 ms; 0 is allowed where it has a meaning.
    pub(super) fn duration(&mut self, at: &FieldPath, text: &str, zero_allowed: bool) -> Option<Duration> {
        let Some(duration) = parse(text) else {
            let message = format!("\"{text}\" is not a duration; write a number with a unit, such as 5s or 250ms");
            self.problems.error(at, message);
            return None;
        };
        let too_short = duration < Duration::from_millis(1) && !(zero_allowed && duration.is_zero());
        if too_short {
            self.problems.error(at, format!("{text} is too short; use at least 1ms"));
        }
        (!too_short).then_some(duration)
    }

    /// The same for a field that may be absent.
    pub(super) fn duration_if(&mut self, at: &FieldPath, text: Option<&str>, zero_allowed: bool) -> Option<Duration> {
        self.duration(at, text?, zero_allowed)
    }
}

/// Reads a duration; None when it is none, is negative or longer than ten years.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        seconds += number * unit(&rest[digits..unit_end])?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty() && seconds <= LONGEST).then(|| Duration::from_nanos((seconds * 1e9).round() as u64))
}

fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [("5s", 5000), ("1.5s", 1500), ("250ms", 250), ("1h2m3s", 3_723_000), ("0s", 0), ("0", 0)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "-1s", "s", "1 s", "1d", "1s5", "99999999h", "1..5s", "inf"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
