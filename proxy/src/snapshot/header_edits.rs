//! Edits of headers on each level of a route configuration, put together in the order in which they apply.

use http::HeaderName;
use xds::core::{HeaderValueOption, header_value_option::HeaderAppendAction};

use super::each;
use super::field::truth;
use super::reason::{Reason, Under};
use crate::http::headers::{HeaderEdits, Layer, Side, Template, Write, WriteMode, may_remove, may_write};

/// What one level of the configuration says about requests and responses.
#[derive(Default, Clone)]
pub(super) struct Edits {
    request: Layer,
    response: Layer,
}

/// The four lists that every level has.
pub(super) struct Lists<'a> {
    pub(super) request_add: &'a [HeaderValueOption],
    pub(super) request_remove: &'a [String],
    pub(super) response_add: &'a [HeaderValueOption],
    pub(super) response_remove: &'a [String],
}

impl Edits {
    /// Compiles the lists of one level.
    pub(super) fn compile(lists: &Lists<'_>) -> Result<Self, Reason> {
        Ok(Self {
            request: Layer {
                remove: each("request_headers_to_remove", lists.request_remove, |name| removed(name))?,
                write: each("request_headers_to_add", lists.request_add, |option| written(option, Side::Request))?,
            },
            response: Layer {
                remove: each("response_headers_to_remove", lists.response_remove, |name| removed(name))?,
                write: each("response_headers_to_add", lists.response_add, |option| written(option, Side::Response))?,
            },
        })
    }

    /// Whether nothing is edited.
    pub(super) fn is_empty(&self) -> bool {
        let empty = |layer: &Layer| layer.remove.is_empty() && layer.write.is_empty();
        empty(&self.request) && empty(&self.response)
    }
}

/// The edits of several levels, those of `levels` that say something, in their order: for requests and for responses.
pub(super) fn together(levels: &[&Edits]) -> (Option<HeaderEdits>, Option<HeaderEdits>) {
    let pick = |layer: fn(&Edits) -> &Layer| {
        let edits = HeaderEdits { layers: levels.iter().map(|edits| layer(edits).clone()).collect() };
        let layers: Vec<Layer> = edits.layers.into_iter().filter(|layer| !is_idle(layer)).collect();
        (!layers.is_empty()).then_some(HeaderEdits { layers })
    };
    (pick(|edits| &edits.request), pick(|edits| &edits.response))
}

fn is_idle(layer: &Layer) -> bool {
    layer.remove.is_empty() && layer.write.is_empty()
}

fn name(text: &str) -> Result<HeaderName, Reason> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Reason::new(format!("{text:?} is no header name that may be edited")))
}

fn removed(text: &str) -> Result<HeaderName, Reason> {
    let name = name(text)?;
    if may_remove(&name) { Ok(name) } else { Err(Reason::new(format!("{name} must not be removed"))) }
}

// `append` is how control planes before Envoy 1.20 said what `append_action` says.
#[allow(deprecated)]
fn written(option: &HeaderValueOption, side: Side) -> Result<Write, Reason> {
    let header = option.header.as_ref().ok_or_else(|| Reason::at("header", "is missing"))?;
    let name = name(&header.key).under("header.key")?;
    if !may_write(&name) {
        return Err(Reason::at("header.key", format!("{name} must not be written")));
    }
    let text = if header.raw_value.is_empty() {
        header.value.as_str()
    } else {
        std::str::from_utf8(&header.raw_value).map_err(|_| Reason::at("header.raw_value", "is no UTF-8"))?
    };
    let value = Template::parse(text, side).under("header.value")?;
    let mode = match (&option.append, HeaderAppendAction::try_from(option.append_action)) {
        (Some(append), _) if truth(Some(append), true) => WriteMode::Append,
        (Some(_), _) => WriteMode::Set,
        (None, Ok(HeaderAppendAction::AppendIfExistsOrAdd)) => WriteMode::Append,
        (None, Ok(HeaderAppendAction::AddIfAbsent)) => WriteMode::AddIfAbsent,
        (None, Ok(HeaderAppendAction::OverwriteIfExistsOrAdd)) => WriteMode::Set,
        (None, Ok(HeaderAppendAction::OverwriteIfExists)) => WriteMode::Overwrite,
        (None, Err(_)) => {
            return Err(Reason::at("append_action", format!("{} is none of those known", option.append_action)));
        }
    };
    Ok(Write { name, value, mode, keep_empty: option.keep_empty_value })
}
