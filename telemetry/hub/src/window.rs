//! Which stretch of time a question is about.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::history::KEPT;

/// A stretch of time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last so many; at most five minutes are kept.
    Last(Duration),
    /// All since an instant. One more than five minutes ago is answered with all since the hub began.
    Since(Instant),
    /// All since the hub began.
    All,
}

/// A window that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("window={0:?} is not a window: write a whole number and ms, s or m, such as 10s, from 1s to 5m; or all")]
pub struct BadWindow(String);

impl FromStr for Window {
    type Err = BadWindow;

    /// Reads `10s`, `1500ms`, `2m` or `all`.
    fn from_str(text: &str) -> Result<Self, BadWindow> {
        if text == "all" {
            return Ok(Self::All);
        }
        let bad = || BadWindow(text.chars().take(40).collect());
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60_000),
            _ => None,
        };
        let window = millis.map(Duration::from_millis).ok_or_else(bad)?;
        let allowed = Duration::from_secs(1)..=KEPT;
        if allowed.contains(&window) { Ok(Self::Last(window)) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read() {
        let last = |millis| Ok(Window::Last(Duration::from_millis(millis)));
        assert_eq!("10s".parse(), last(10_000));
        assert_eq!("1500ms".parse(), last(1_500));
        assert_eq!("5m".parse(), last(300_000));
        assert_eq!("all".parse(), Ok(Window::All));
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "10h", "0s", "999ms", "301s", "99999999999999999999s", "10s "] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
        let error = "ten".parse::<Window>().map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.starts_with("window=\"ten\" is not a window")));
    }
}
