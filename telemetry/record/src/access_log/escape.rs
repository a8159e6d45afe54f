//! Makes a value safe to stand in a line: nothing but printable ASCII gets out, and not much of it.

use std::fmt::Write as _;

/// Longest form of one value in a line, in bytes, its escapes included. A longer one ends in `...`.
const LONGEST: usize = 1024;

/// Appends a value that stands between quotation marks; spaces stay.
pub(super) fn push_quoted(line: &mut String, value: Option<&[u8]>) {
    push(line, value, ' ');
}

/// Appends a value that stands alone. A space would shift the fields after it and becomes `_`, as Envoy
/// does it in the details of a response code.
pub(super) fn push_word(line: &mut String, value: Option<&[u8]>) {
    push(line, value, '_');
}

fn push(line: &mut String, value: Option<&[u8]>, space: char) {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        line.push('-');
        return;
    };
    let end = line.len() + LONGEST;
    for byte in value {
        // The longest escape has four bytes, the mark of a cut three.
        if line.len() + 7 > end {
            line.push_str("...");
            return;
        }
        match byte {
            b' ' => line.push(space),
            b'"' | b'\\' => line.extend(['\\', char::from(*byte)]),
            b'!'..=b'~' => line.push(char::from(*byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(value: &[u8]) -> String {
        let mut line = String::new();
        push_quoted(&mut line, Some(value));
        line
    }

    #[test]
    fn nothing_that_moves_a_terminal_or_ends_a_field_gets_through() {
        assert_eq!(quoted(b"a\nb\x1b[2J\"c\\"), r#"a\x0ab\x1b[2J\"c\\"#);
        assert_eq!(quoted("\u{9b}2J".as_bytes()), r"\xc2\x9b2J");
        assert_eq!(quoted(b"\xff"), r"\xff");
    }

    #[test]
    fn a_word_holds_no_space() {
        let mut line = String::new();
        push_word(&mut line, Some(b"a b"));
        assert_eq!(line, "a_b");
    }

    #[test]
    fn a_long_value_is_cut_whatever_it_is_made_of() {
        for byte in [b'a', b'\n', b'"'] {
            let cut = quoted(&vec![byte; 65_536]);
            assert!(cut.len() <= LONGEST, "{}", cut.len());
            assert!(cut.ends_with("..."));
        }
    }
}
