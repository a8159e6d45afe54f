//! Messages that are almost right: good ones with something put in, taken out or changed.

use proptest::prelude::*;

const PIECES: [&str; 24] = [
    "\r", "\n", "\r\n", " ", "\t", "\0", "\x0b", ":", ";", ",", "0", "1", "f", "-", "+", "x", "#", "%00", "\x7f",
    "\u{e9}", "chunked", "HTTP/1.1", "204 ", "103 ",
];

/// Put in between two lines.
const LINES: [&str; 9] = [
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Connection: close\r\n",
    "Host: b\r\n",
    "X-T: \r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\n",
    "0\r\n\r\n",
];

/// One step away from what is right.
#[derive(Debug, Clone)]
pub enum Mutation {
    Insert(usize, &'static str),
    Line(usize, &'static str),
    Remove(usize, usize),
    Set(usize, u8),
}

/// A few of them.
pub fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<usize>;
    let one = prop_oneof![
        3 => (at(), proptest::sample::select(&PIECES[..])).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        2 => (at(), proptest::sample::select(&LINES[..])).prop_map(|(at, line)| Mutation::Line(at, line)),
        1 => (at(), 1..8_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
    ];
    proptest::collection::vec(one, 0..5)
}

/// What they make of a message.
pub fn mutated(message: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = message.as_bytes().to_vec();
    for mutation in mutations {
        let at = |index: usize| index % bytes.len().max(1);
        match *mutation {
            Mutation::Insert(index, piece) => {
                let index = at(index);
                bytes.splice(index..index, piece.bytes());
            }
            Mutation::Line(index, line) => {
                let begins: Vec<usize> = (1..=bytes.len()).filter(|at| bytes[at - 1] == b'\n').collect();
                let index = begins.get(index % begins.len().max(1)).copied().unwrap_or(0);
                bytes.splice(index..index, line.bytes());
            }
            Mutation::Remove(index, length) => {
                let index = at(index);
                bytes.drain(index..bytes.len().min(index + length));
            }
            Mutation::Set(index, byte) if !bytes.is_empty() => {
                let index = at(index);
                bytes[index] = byte;
            }
            Mutation::Set(..) => {}
        }
    }
    bytes
}
