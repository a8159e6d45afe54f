//! From the tree to typed objects through serde. Every error says which field it is about; names that a type
//! does not have are collected, whether or not the type itself refuses them.

use super::{Entry, FieldPath, Node, Value, nearest};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use std::cell::RefCell;
use std::fmt;

/// What was read.
pub struct Read<T> {
    /// The typed object.
    pub value: T,
    /// Fields that its type does not have.
    pub unknown: Vec<UnknownField>,
}

/// A field that a type does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Its path.
    pub path: FieldPath,
    /// What it was probably meant to be.
    pub nearest: Option<&'static str>,
    /// What there is, when little enough to list.
    pub known: &'static [&'static str],
}

/// A value that does not fit its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The field.
    pub path: FieldPath,
    /// What is wrong.
    pub message: String,
}

/// Reads a tree as `T`.
pub fn read<T: DeserializeOwned>(node: &Node) -> Result<Read<T>, ReadError> {
    let unknown = RefCell::new(Vec::new());
    let at = Trail::Root;
    let reader = Reader { node, at: &at, unknown: &unknown };
    let value = T::deserialize(reader).map_err(|error| error.located(&at))?;
    Ok(Read { value, unknown: unknown.into_inner() })
}

/// The way from the root to a node, without allocating.
enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    fn path(&self) -> FieldPath {
        match self {
            Self::Root => FieldPath::root(),
            Self::Key(parent, key) => parent.path().key(key),
            Self::Index(parent, index) => parent.path().index(*index),
        }
    }
}

#[derive(Debug)]
struct Error {
    path: Option<FieldPath>,
    message: String,
}

impl Error {
    /// The innermost field that an error passes through is the one that it is about.
    fn at(mut self, trail: &Trail<'_>) -> Self {
        self.path.get_or_insert_with(|| trail.path());
        self
    }

    fn located(self, trail: &Trail<'_>) -> ReadError {
        let Error { path, message } = self.at(trail);
        ReadError { path: path.unwrap_or_default(), message }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("\"{field}\" is missing"))
    }
}

struct Reader<'a> {
    node: &'a Node,
    at: &'a Trail<'a>,
    unknown: &'a RefCell<Vec<UnknownField>>,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self, expected: &str, hint: &str) -> Result<T, Error> {
        Err(de::Error::custom(format_args!("expected {expected}, found {}{hint}", self.node.describe())))
    }

    fn map<'de, V: Visitor<'de>>(self, fields: Option<&'static [&'static str]>, visitor: V) -> Result<V::Value, Error> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => return self.wrong("a mapping", ""),
        };
        visitor.visit_map(Map { entries, fields, next: None, of: self })
    }

    fn number<'de, V: Visitor<'de>>(&self, text: &str, visitor: V) -> Result<V::Value, Error> {
        if let Ok(number) = text.parse::<i64>() {
            return visitor.visit_i64(number);
        }
        match text.parse::<f64>() {
            Ok(number) => visitor.visit_f64(number),
            Err(_) => self.wrong("a number", ""),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match &self.node.value {
                Value::Number(text) => match text.parse::<i64>() {
                    Ok(number) => visitor.visit_i64(number).map_err(|_: Error| out_of_range(text)),
                    Err(_) => self.wrong("a whole number", ""),
                },
                Value::Text(text) if text.parse::<i64>().is_ok() => {
                    self.wrong("a number", "; remove the quotes")
                }
                _ => self.wrong("a whole number", ""),
            }
        }
    )*};
}

fn out_of_range(text: &str) -> Error {
    de::Error::custom(format_args!("the number {text} is out of range for this field"))
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(text) => self.number(text, visitor),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.map(None, visitor),
        }
    }

    integers!(
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    );

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Number(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => visitor.visit_f64(number),
                _ => Err(out_of_range(text)),
            },
            _ => self.wrong("a number", ""),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => self.wrong("true or false", ""),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Number(_) | Value::Bool(_) => self.wrong("a text", "; put it in quotes"),
            _ => self.wrong("a text", ""),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match &self.node.value {
            Value::List(items) => items.as_slice(),
            Value::Null => &[],
            _ => return self.wrong("a list", "; start each item with \"- \""),
        };
        visitor.visit_seq(List { items: items.iter().enumerate(), of: self })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.map(Some(fields), visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

struct Map<'a> {
    entries: &'a [Entry],
    /// The fields of the struct that is read; None for a free mapping.
    fields: Option<&'static [&'static str]>,
    next: Option<&'a Entry>,
    of: Reader<'a>,
}

impl<'a> Map<'a> {
    /// The next entry that the type knows; others are noted.
    fn known(&mut self) -> Option<&'a Entry> {
        while let Some((entry, rest)) = self.entries.split_first() {
            self.entries = rest;
            match self.fields {
                Some(fields) if !fields.contains(&entry.key.as_str()) => self.note(&entry.key, fields),
                _ => return Some(entry),
            }
        }
        None
    }

    fn note(&self, key: &str, fields: &'static [&'static str]) {
        self.of.unknown.borrow_mut().push(UnknownField {
            path: Trail::Key(self.of.at, key).path(),
            nearest: nearest(key, fields.iter().copied()),
            known: fields,
        });
    }
}

impl<'de> de::MapAccess<'de> for Map<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next = self.known();
        let Some(entry) = self.next else { return Ok(None) };
        let key = seed.deserialize(entry.key.as_str().into_deserializer());
        key.map(Some).map_err(|error: Error| error.at(&Trail::Key(self.of.at, &entry.key)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.next.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let at = Trail::Key(self.of.at, &entry.key);
        let reader = Reader { node: &entry.value, at: &at, unknown: self.of.unknown };
        seed.deserialize(reader).map_err(|error| error.at(&at))
    }
}

struct List<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    of: Reader<'a>,
}

impl<'de> de::SeqAccess<'de> for List<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let at = Trail::Index(self.of.at, index);
        let reader = Reader { node, at: &at, unknown: self.of.unknown };
        seed.deserialize(reader).map(Some).map_err(|error| error.at(&at))
    }
}

impl UnknownField {
    /// What to tell the author.
    pub fn message(&self) -> String {
        match self.nearest {
            Some(name) => format!("no such field; did you mean \"{name}\"?"),
            None if self.known.len() <= 12 => format!("no such field; there are {}", self.known.join(", ")),
            None => "no such field".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::parse;
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "camelCase")]
    struct Rule {
        host: String,
        max_age: Option<u16>,
        share: Option<f64>,
        labels: BTreeMap<String, String>,
        inner: Vec<Rule>,
    }

    fn get(text: &str) -> Result<Read<Rule>, ReadError> {
        read(&parse(text).unwrap()[0])
    }

    #[test]
    fn fields_are_read_and_null_is_absent() {
        let rule = get("host: a\nmaxAge: 5\nshare: 10\nlabels: {x: '1'}\ninner: ~\n").unwrap();
        assert_eq!(rule.value.max_age, Some(5));
        assert_eq!(rule.value.share, Some(10.0));
        assert_eq!(rule.value.labels["x"], "1");
        assert!(rule.value.inner.is_empty() && rule.unknown.is_empty());
    }

    #[test]
    fn errors_say_which_field_and_what_would_be_right() {
        for (text, path, message) in [
            ("host: 1.10", "host", "expected a text, found the number 1.10; put it in quotes"),
            ("labels: {version: 1}", "labels.version", "expected a text, found the number 1; put it in quotes"),
            ("inner: [{}, {maxAge: 70000}]", "inner[1].maxAge", "the number 70000 is out of range for this field"),
            ("maxAge: '5'", "maxAge", "expected a number, found the text \"5\"; remove the quotes"),
            ("inner: {host: a}", "inner", "expected a list, found a mapping; start each item with \"- \""),
            ("inner: [x]", "inner[0]", "expected a mapping, found the text \"x\""),
        ] {
            let error = get(text).err().unwrap();
            assert_eq!((error.path.as_str(), error.message.as_str()), (path, message));
        }
    }

    #[test]
    fn unknown_fields_are_named_with_the_nearest_right_one() {
        let read = get("hosts: a\ninner:\n- maxage: 5\n- colour: red\n").unwrap();
        let found: Vec<_> = read.unknown.iter().map(|u| (u.path.as_str(), u.message())).collect();
        assert_eq!(
            found,
            [
                ("hosts", "no such field; did you mean \"host\"?".to_owned()),
                ("inner[0].maxage", "no such field; did you mean \"maxAge\"?".to_owned()),
                ("inner[1].colour", "no such field; there are host, maxAge, share, labels, inner".to_owned()),
            ]
        );
    }
}
