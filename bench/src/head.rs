//! The little of an HTTP/1 head that load and server must know: where it ends, what its first line says, how long its body is.

/// A whole head.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The first line.
    pub line: &'a [u8],
    /// With the empty line.
    pub length: usize,
    /// As the header says.
    pub content_length: Option<usize>,
}

impl<'a> Head<'a> {
    /// `None` while it is not whole.
    ///
    /// # Errors
    /// When 16 KiB hold no end, or the length is no number.
    pub fn of(bytes: &'a [u8]) -> Result<Option<Head<'a>>, String> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if bytes.len() > 16 * 1024 { Err("the head does not end".to_owned()) } else { Ok(None) };
        };
        let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let line = lines.next().unwrap_or_default();
        let name = b"content-length:";
        let field = lines.find(|line| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name));
        let content_length = field.map(|line| number(line[name.len()..].trim_ascii())).transpose()?;
        Ok(Some(Head { line, length: end + 4, content_length }))
    }

    /// Of an answer.
    pub fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.line.get(9..12)?).ok()?.parse().ok()
    }

    /// Of a request `POST /1024 HTTP/1.1`: how long a body it asks for.
    pub fn wanted(&self) -> usize {
        let path = self.line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        number(path.trim_ascii_start().strip_prefix(b"/").unwrap_or_default()).unwrap_or(0)
    }
}

fn number(digits: &[u8]) -> Result<usize, String> {
    let text = std::str::from_utf8(digits).map_err(|error| error.to_string())?;
    text.parse().map_err(|_| format!("{text:?} is no length"))
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn a_head_is_whole_at_its_empty_line() {
        assert_eq!(Head::of(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
        let head = Head::of(b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 12\r\n\r\nbody");
        let head = head.ok().flatten();
        assert_eq!(head.as_ref().and_then(Head::status), Some(200));
        assert_eq!(head.map(|head| (head.length, head.content_length)), Some((45, Some(12))));
    }

    #[test]
    fn a_path_asks_for_a_length() {
        let wanted = |bytes| Head::of(bytes).ok().flatten().map(|head: Head<'_>| head.wanted());
        assert_eq!(wanted(b"POST /1048576 HTTP/1.1\r\n\r\n"), Some(1_048_576));
        assert_eq!(wanted(b"GET /ready HTTP/1.1\r\n\r\n"), Some(0));
    }
}
