//! `headers`: edits of request and response headers (VirtualService `http[].headers`, `http[].route[].headers`).
//!
//! Envoy applies the edits of a destination before those of its route, and removals before additions on each level.

use xds::core::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction};
use xds::route::Route;
use xds::route::weighted_cluster::ClusterWeight;

use crate::model::{HeaderEdits, HeaderOperations};

/// The edits of a whole rule.
pub(super) fn apply(edits: &HeaderEdits, route: &mut Route) {
    route.request_headers_to_add = additions(&edits.request);
    route.request_headers_to_remove = removals(&edits.request);
    route.response_headers_to_add = additions(&edits.response);
    route.response_headers_to_remove = removals(&edits.response);
}

/// The edits of one destination.
pub(super) fn apply_to_destination(edits: &HeaderEdits, cluster: &mut ClusterWeight) {
    cluster.request_headers_to_add = additions(&edits.request);
    cluster.request_headers_to_remove = removals(&edits.request);
    cluster.response_headers_to_add = additions(&edits.response);
    cluster.response_headers_to_remove = removals(&edits.response);
}

fn additions(operations: &HeaderOperations) -> Vec<HeaderValueOption> {
    let set =
        operations.set.iter().map(|(name, value)| option(name, value, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = operations.add.iter().map(|(name, value)| option(name, value, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add).collect()
}

fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    // Envoy takes `%` for the start of a command.
    let value = value.replace('%', "%%");
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value, raw_value: Vec::new() }),
        append_action: action as i32,
        ..HeaderValueOption::default()
    }
}

fn removals(operations: &HeaderOperations) -> Vec<String> {
    operations.remove.iter().map(ToString::to_string).collect()
}
