#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn write(name: &str, value: &str, mode: WriteMode) -> Write {
    Write {
        name: HeaderName::from_bytes(name.as_bytes()).unwrap(),
        value: Template::parse(value, Side::Request).unwrap(),
        mode,
        keep_empty: false,
    }
}

fn edited(layers: Vec<Layer>, headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    HeaderEdits { layers }.apply(&mut map);
    map.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

fn values(edited: &[(String, String)], name: &str) -> Vec<String> {
    edited.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
}

/// The same edits and request through Envoy 1.40 left the upstream these values.
#[test]
fn one_layer_as_envoy_applies_it() {
    let mut keep = write("x-keep", "", WriteMode::Append);
    keep.keep_empty = true;
    let layer = Layer {
        remove: vec![HeaderName::from_static("x-rem")],
        write: vec![
            write("x-order", "route", WriteMode::Append),
            write("x-set", "v-%REQ(x-a?x-b)%", WriteMode::Set),
            write("x-ow", "v", WriteMode::Overwrite),
            write("x-abs", "v", WriteMode::AddIfAbsent),
            write("x-empty", "", WriteMode::Append),
            keep,
            write("x-twice", "%REQ(x-set)%", WriteMode::Set),
            write("x-rem", "new", WriteMode::Append),
        ],
    };
    let first =
        edited(vec![layer.clone()], &[("x-a", "A"), ("x-rem", "old"), ("x-abs", "there"), ("x-order", "client")]);
    assert_eq!(values(&first, "x-order"), ["client", "route"]);
    assert_eq!(values(&first, "x-set"), ["v-A"]);
    assert_eq!(values(&first, "x-ow"), [""; 0]);
    assert_eq!(values(&first, "x-abs"), ["there"]);
    assert_eq!(values(&first, "x-empty"), [""; 0]);
    assert_eq!(values(&first, "x-keep"), [""]);
    assert_eq!(values(&first, "x-twice"), [""; 0]);
    assert_eq!(values(&first, "x-rem"), ["new"]);

    let second = edited(vec![layer], &[("x-b", "B"), ("x-ow", "old")]);
    assert_eq!(values(&second, "x-set"), ["v-B"]);
    assert_eq!(values(&second, "x-ow"), ["v"]);
    assert_eq!(values(&second, "x-abs"), ["v"]);
}

#[test]
fn layers_apply_one_after_the_other() {
    let target = Layer { remove: Vec::new(), write: vec![write("x", "target", WriteMode::Append)] };
    let route =
        Layer { remove: vec![HeaderName::from_static("x")], write: vec![write("x", "route", WriteMode::Append)] };
    assert_eq!(values(&edited(vec![target.clone(), route.clone()], &[]), "x"), ["route"]);
    assert_eq!(values(&edited(vec![route, target], &[]), "x"), ["route", "target"]);
}

#[test]
fn set_replaces_all_values() {
    let layer = Layer { remove: Vec::new(), write: vec![write("x", "new", WriteMode::Set)] };
    assert_eq!(values(&edited(vec![layer], &[("x", "1"), ("x", "2")]), "x"), ["new"]);
}

#[test]
fn percent_signs() {
    let headers = HeaderMap::new();
    for (text, expected) in [("100%%", "100%"), ("%%REQ(a)%%", "%REQ(a)%"), ("plain", "plain"), ("", "")] {
        assert_eq!(Template::parse(text, Side::Request).unwrap().render(&headers), expected);
    }
    for (text, side) in [
        ("50%", Side::Request),
        ("%START_TIME%", Side::Request),
        ("%REQ(:path)%", Side::Request),
        ("%REQ(x)%", Side::Response),
        ("%RESP(x)%", Side::Request),
        ("line\nbreak", Side::Request),
        ("%REQ(x)%\r\n", Side::Request),
    ] {
        assert!(Template::parse(text, side).is_err(), "{text}");
    }
    let error = Template::parse("%START_TIME%", Side::Response).unwrap_err();
    assert_eq!(error, "`%START_TIME%` is not supported here; only `%RESP(name)%` and `%%` are");
}

#[test]
fn what_frames_a_message_is_not_configurable() {
    for name in ["host", "content-length", "transfer-encoding"] {
        let name = HeaderName::from_static(name);
        assert!(!may_write(&name) && !may_remove(&name), "{name}");
    }
    for name in ["connection", "upgrade", "keep-alive"] {
        let name = HeaderName::from_static(name);
        assert!(!may_write(&name) && may_remove(&name), "{name}");
    }
    assert!(may_write(&HeaderName::from_static("x-forwarded-for")));
}
