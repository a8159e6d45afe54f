//! Durations on the command line: `500ms`, `20s`, `5m`, `24h`.

use std::time::Duration;

/// For clap's `value_parser`.
///
/// # Errors
/// Says which forms are right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write a number with ms, s, m or h, such as 500ms or 20s");
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn units_are_read() {
        let written = ["500ms", "20s", "1.5s", "5m", "24h"];
        let meant = [500, 20_000, 1_500, 300_000, 86_400_000].map(Duration::from_millis);
        assert_eq!(written.map(parse), meant.map(Ok));
    }

    #[test]
    fn anything_else_is_refused_with_the_right_forms() {
        for text in ["", "20", "s", "20x", "-1s", "1e400s"] {
            assert!(parse(text).is_err_and(|error| error.contains("such as 500ms")), "{text}");
        }
    }
}
