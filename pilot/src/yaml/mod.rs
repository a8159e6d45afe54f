//! YAML with positions: text becomes a tree that knows its lines, and the tree becomes typed objects whose
//! errors name the field and the line.

mod deserializer;
mod documents;
mod field;
mod json;
mod lines;
mod node;
mod parse;
mod suggest;
mod to_json;
mod write;

pub use deserializer::{UnknownField, read};
pub use documents::split;
pub use field::FieldPath;
pub use lines::Lines;
pub use node::{Entry, Node, Value};
pub use parse::parse;
pub use suggest::nearest;
pub use write::write;
