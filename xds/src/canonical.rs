//! One encoding per message. Protobuf maps are hash maps in the generated types and come out in a random order; a
//! resource that did not change would look changed after a restart. Here their entries are sorted by key.
//!
//! The wire does not say which fields are maps. What looks like one is sorted on trial, and the result is kept only
//! if it decodes to an equal message: equal as a map, never equal as a list in another order.

use std::{collections::BTreeSet, ops::Range};

use prost::Message;

/// The field numbers from the root of a message to a field.
type Path = Vec<u64>;

/// How deep nested messages are looked into; prost itself stops at 100.
const MAX_DEPTH: usize = 64;

/// Encodes a message so that equal messages have equal bytes.
pub(crate) fn encode<M: Message + Default + PartialEq>(message: &M) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let equal = |bytes: &[u8]| M::decode(bytes).is_ok_and(|decoded| decoded == *message);
    let mut lists = BTreeSet::new();
    // The second round leaves out what the first found to be no map.
    for _ in 0..2 {
        let mut sorted = bytes.clone();
        let changed = sort_maps(&mut sorted, &|path| !lists.contains(path));
        if changed.is_empty() {
            return bytes;
        }
        if equal(&sorted) {
            return sorted;
        }
        lists.extend(changed.into_iter().filter(|path| {
            let mut alone = bytes.clone();
            sort_maps(&mut alone, &|other| other == path);
            !equal(&alone)
        }));
    }
    bytes
}

/// Sorts what looks like map entries wherever `wanted`, and returns the paths where the order changed.
fn sort_maps(bytes: &mut [u8], wanted: &dyn Fn(&Path) -> bool) -> BTreeSet<Path> {
    let mut sorter = Sorter { wanted, changed: BTreeSet::new(), path: Vec::new() };
    sorter.message(bytes);
    sorter.changed
}

struct Sorter<'a> {
    wanted: &'a dyn Fn(&Path) -> bool,
    changed: BTreeSet<Path>,
    path: Path,
}

impl Sorter<'_> {
    fn message(&mut self, bytes: &mut [u8]) {
        let Some(fields) = fields(bytes) else { return };
        if self.path.len() >= MAX_DEPTH {
            return;
        }
        let mut rest = fields.as_slice();
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|field| field.key == first.key && field.payload.is_some()).count();
            self.path.push(first.key >> 3);
            for payload in rest[..run].iter().filter_map(|field| field.payload.clone()) {
                self.message(&mut bytes[payload]);
            }
            if run > 1 && (self.wanted)(&self.path) {
                self.run(bytes, &rest[..run]);
            }
            self.path.pop();
            rest = &rest[run.max(1)..];
        }
    }

    /// Sorts fields that stand one after the other, if each looks like a map entry.
    fn run(&mut self, bytes: &mut [u8], run: &[Field]) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let mut entries: Vec<(&[u8], &[u8])> = Vec::with_capacity(run.len());
        for field in run {
            let payload = &bytes[field.payload.clone().unwrap_or_default()];
            if !is_map_entry(payload) {
                return;
            }
            entries.push((payload, &bytes[field.whole.clone()]));
        }
        if entries.is_sorted() {
            return;
        }
        entries.sort_unstable();
        let sorted: Vec<u8> = entries.into_iter().flat_map(|(_, whole)| whole.iter().copied()).collect();
        bytes[first.whole.start..last.whole.end].copy_from_slice(&sorted);
        self.changed.insert(self.path.clone());
    }
}

/// One field on the wire.
struct Field {
    /// Number and wire type.
    key: u64,
    whole: Range<usize>,
    /// What a length-delimited field holds.
    payload: Option<Range<usize>>,
}

/// A map entry has at most field 1, the key, and then field 2, the value (protobuf: "Backwards compatibility" of maps).
fn is_map_entry(payload: &[u8]) -> bool {
    fields(payload).is_some_and(|fields| match fields.as_slice() {
        [] => true,
        [one] => matches!(one.key >> 3, 1 | 2),
        [key, value] => key.key >> 3 == 1 && value.key >> 3 == 2,
        _ => false,
    })
}

/// The fields of a message; `None` if the bytes are none.
fn fields(bytes: &[u8]) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let key = varint(bytes, &mut at)?;
        let mut payload = None;
        match key & 7 {
            0 => drop(varint(bytes, &mut at)?),
            1 => at += 8,
            2 => {
                let length = usize::try_from(varint(bytes, &mut at)?).ok()?;
                payload = Some(at..at.checked_add(length)?);
                at += length;
            }
            5 => at += 4,
            _ => return None,
        }
        if at > bytes.len() || key >> 3 == 0 {
            return None;
        }
        found.push(Field { key, whole: start..at, payload });
    }
    Some(found)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut rest = bytes.get(*at..)?;
    let before = rest.len();
    let value = prost::encoding::decode_varint(&mut rest).ok()?;
    *at += before - rest.len();
    Some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{core, endpoint, google, listener, route, string_value, struct_of};

    fn metadata(keys: &[&str]) -> core::Metadata {
        let inner = || struct_of(keys.iter().map(|key| (*key, string_value(format!("{key}-value")))));
        core::Metadata {
            filter_metadata: keys.iter().map(|key| ((*key).to_owned(), inner())).collect(),
            ..Default::default()
        }
    }

    /// Each hash map has its own random order, so that ten equal messages hardly ever encode alike by themselves.
    fn assert_one_encoding<M: Message + Default + PartialEq + std::fmt::Debug>(make: impl Fn() -> M) {
        let first = encode(&make());
        assert_eq!(M::decode(first.as_slice()).unwrap(), make());
        for _ in 0..10 {
            assert_eq!(encode(&make()), first);
        }
    }

    #[test]
    fn nested_maps_have_one_order() {
        let keys = ["istio", "envoy.transport_socket_match", "", "a", "b", "c", "d"];
        assert_one_encoding(|| endpoint::ClusterLoadAssignment {
            cluster_name: "outbound|80||reviews".into(),
            endpoints: (0..3)
                .map(|_| endpoint::LocalityLbEndpoints {
                    lb_endpoints: vec![endpoint::LbEndpoint { metadata: Some(metadata(&keys)), ..Default::default() }],
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
    }

    #[test]
    fn lists_that_look_like_maps_keep_their_order() {
        let filter = |name: &str| listener::Filter { name: name.into(), ..Default::default() };
        let unsorted = listener::FilterChain {
            filters: vec![filter("z"), filter("a")],
            metadata: Some(metadata(&["x", "b", "a", "y", "q"])),
            ..Default::default()
        };
        assert_eq!(listener::FilterChain::decode(encode(&unsorted).as_slice()).unwrap(), unsorted);
        assert_one_encoding(|| listener::FilterChain {
            metadata: Some(metadata(&["x", "b", "a", "y", "q"])),
            ..unsorted.clone()
        });
    }

    #[test]
    fn the_order_of_routes_and_domains_is_kept() {
        let route = |prefix: &str| route::Route {
            r#match: Some(route::RouteMatch {
                path_specifier: Some(route::route_match::PathSpecifier::Prefix(prefix.into())),
                ..Default::default()
            }),
            typed_per_filter_config: ["b", "a", "c", "f", "e"]
                .map(|key| (key.to_owned(), google::Any { type_url: key.into(), value: vec![1] }))
                .into(),
            ..Default::default()
        };
        let host = || route::VirtualHost {
            domains: vec!["z".into(), "a".into(), "*".into()],
            routes: vec![route("/z"), route("/a"), route("/")],
            ..Default::default()
        };
        assert_one_encoding(host);
    }
}
