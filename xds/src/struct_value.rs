//! Reading and writing `google.protobuf.Struct`, the untyped tree that metadata travels in.

use crate::google::{Struct, Value, value::Kind};

/// A string as a value.
pub fn string_value(text: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

/// A number as a value.
pub fn number_value(number: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(number)) }
}

/// A tree of named values as a value.
pub fn struct_value(fields: Struct) -> Value {
    Value { kind: Some(Kind::StructValue(fields)) }
}

/// A tree from its fields.
pub fn struct_of<K: Into<String>>(fields: impl IntoIterator<Item = (K, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(key, value)| (key.into(), value)).collect() }
}

/// The string field of that name; `None` if it is missing or no string.
pub fn string_field<'a>(fields: &'a Struct, key: &str) -> Option<&'a str> {
    match fields.fields.get(key)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The tree under that name; `None` if it is missing or no tree.
pub fn struct_field<'a>(fields: &'a Struct, key: &str) -> Option<&'a Struct> {
    match fields.fields.get(key)?.kind.as_ref()? {
        Kind::StructValue(inner) => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_type() {
        let tree = struct_of([
            ("NAMESPACE", string_value("shop")),
            ("LABELS", struct_value(struct_of([("app", string_value("catalog"))]))),
        ]);
        assert_eq!(string_field(&tree, "NAMESPACE"), Some("shop"));
        assert_eq!(struct_field(&tree, "LABELS").and_then(|labels| string_field(labels, "app")), Some("catalog"));
        assert_eq!(string_field(&tree, "LABELS"), None);
        assert_eq!(struct_field(&tree, "NAMESPACE"), None);
        assert_eq!(string_field(&tree, "absent"), None);
    }
}
