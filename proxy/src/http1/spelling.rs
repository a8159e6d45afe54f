//! How header names were spelt on the wire. HTTP/1 does not care, but programs do: names go on as they came.

use bytes::Bytes;
use http::HeaderName;

/// The spelling of the names of one head; only heads with a capital letter have one.
#[derive(Debug, Clone)]
pub struct Spelling {
    head: Bytes,
    /// Where each name starts in the head, and its length.
    names: Vec<(u32, u16)>,
}

impl Spelling {
    /// Of the names at these places of a head.
    pub fn new(head: Bytes, names: Vec<(u32, u16)>) -> Self {
        Self { head, names }
    }

    /// Of names as they came, separated by commas.
    pub fn of_list(list: Bytes) -> Self {
        let mut names = Vec::new();
        let mut start = 0;
        for name in list.split(|byte| *byte == b',') {
            if let (Ok(at), Ok(length)) = (u32::try_from(start), u16::try_from(name.len())) {
                names.push((at, length));
            }
            start += name.len() + 1;
        }
        Self { head: list, names }
    }

    /// The names that have a capital letter, separated by commas.
    pub fn to_list(&self) -> Vec<u8> {
        let mut list = Vec::new();
        for (start, length) in &self.names {
            let name = &self.head[*start as usize..*start as usize + usize::from(*length)];
            if name.iter().any(u8::is_ascii_uppercase) {
                if !list.is_empty() {
                    list.push(b',');
                }
                list.extend_from_slice(name);
            }
        }
        list
    }

    /// The name as it came, or in lower case when it did not.
    pub fn of<'a>(&'a self, name: &'a HeaderName) -> &'a [u8] {
        let lower = name.as_str().as_bytes();
        let came = self.names.iter().filter(|(_, length)| usize::from(*length) == lower.len());
        came.map(|(start, length)| &self.head[*start as usize..*start as usize + usize::from(*length)])
            .find(|came| came.eq_ignore_ascii_case(lower))
            .unwrap_or(lower)
    }
}
