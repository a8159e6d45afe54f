//! The charts and the program agree: the kinds and versions that Pilot reads are those that the chart installs, the
//! control plane may watch them, and the versions of the charts are the program's.

use super::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const CRDS: &str = "manifests/charts/meltemi-crds";
const CONTROL_PLANE: &str = "manifests/charts/meltemi";

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between double quotes, in order.
fn quoted(line: &str) -> Vec<&str> {
    line.split('"').skip(1).step_by(2).collect()
}

/// The value of a key of YAML that stands alone on its line.
fn value<'a>(yaml: &'a str, key: &str) -> &'a str {
    let lines = yaml.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    lines.unwrap_or_else(|| panic!("no line \"{key}: …\""))
}

/// `[a, b]` as a list.
fn list(text: &str) -> Vec<String> {
    let inner = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inner, _)| inner);
    inner.unwrap_or_else(|| panic!("{text} is no list")).split(", ").map(str::to_owned).collect()
}

/// Istio's kinds as `pilot/src/api/kind.rs` has them.
struct Known {
    /// Versions by group and kind, best first.
    read: BTreeMap<(String, String), Vec<String>>,
    /// Kinds without effect, and the name of the text that says what that means.
    without_effect: BTreeMap<String, String>,
}

fn known() -> Known {
    let source = text("pilot/src/api/kind.rs");
    let all_versions = source.lines().find(|line| line.starts_with("const ISTIO_VERSIONS")).map(quoted).unwrap();
    let mut known = Known { read: BTreeMap::new(), without_effect: BTreeMap::new() };
    for line in source.lines().map(str::trim).filter(|line| line.starts_with("(\"")) {
        let words = quoted(line);
        let [group, kind, versions @ ..] = words.as_slice() else { continue };
        if !group.ends_with(".istio.io") {
            continue;
        }
        let versions = if line.contains("ISTIO_VERSIONS") { &all_versions } else { versions };
        if line.contains("Kind::") {
            let versions = versions.iter().map(ToString::to_string).collect();
            known.read.insert((group.to_string(), kind.to_string()), versions);
        } else {
            let effect = line.trim_end_matches("),").rsplit(", ").next().unwrap();
            known.without_effect.insert(kind.to_string(), effect.to_owned());
        }
    }
    assert!(known.read.len() >= 4 && known.without_effect.len() >= 2, "the tables of kind.rs look different now");
    known
}

fn kind_files() -> Vec<String> {
    let folder = root().join(CRDS).join("kinds");
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn the_crds_are_the_kinds_that_are_read() {
    let installed: BTreeMap<_, _> = kind_files()
        .iter()
        .map(|yaml| {
            let name = (value(yaml, "group").to_owned(), value(yaml, "kind").to_owned());
            (name, list(value(yaml, "versions")))
        })
        .collect();
    assert_eq!(installed, known().read, "left: {CRDS}/kinds, right: pilot/src/api/kind.rs");
}

/// A policy that nobody enforces must not look as if it were in force: such kinds cannot be asked for.
#[test]
fn kinds_without_effect_can_be_accepted_unless_they_forbid_requests() {
    let all = known().without_effect;
    let harmless: BTreeSet<String> =
        all.iter().filter(|(_, effect)| *effect == "NO_EFFECT").map(|(kind, _)| kind.clone()).collect();
    let inert = text(&format!("{CRDS}/without-effect.yaml"));
    let names =
        inert.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(':').unwrap().0.to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), harmless, "left: {CRDS}/without-effect.yaml");
    let schema: serde_json::Value = serde_json::from_str(&text(&format!("{CRDS}/values.schema.json"))).unwrap();
    let accepted = &schema["properties"]["acceptWithoutEffect"]["items"]["enum"];
    let accepted = accepted.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    assert_eq!(accepted.collect::<BTreeSet<_>>(), harmless, "left: {CRDS}/values.schema.json");
}

#[test]
fn the_control_plane_may_watch_and_judge_the_kinds_of_its_crds() {
    let role = text(&format!("{CONTROL_PLANE}/templates/cluster-role.yaml"));
    let validator = text(&format!("{CONTROL_PLANE}/templates/validator-webhook.yaml"));
    let names = |yaml: &str, plural: &str| {
        yaml.lines()
            .filter(|line| line.trim().starts_with("resources: ["))
            .any(|line| list(line).iter().any(|name| name == plural))
    };
    for yaml in kind_files() {
        let plural = value(&yaml, "plural");
        assert!(names(&role, plural), "the cluster role does not name {plural}");
        assert!(names(&role, &format!("{plural}/status")), "the cluster role does not name {plural}/status");
        assert!(names(&validator, plural), "the validating webhook does not name {plural}");
    }
    for kind in known().without_effect.keys() {
        let plural = plural(kind);
        assert!(names(&role, &plural), "the cluster role does not name {plural}");
        assert!(names(&validator, &plural), "the validating webhook does not name {plural}");
    }
}

/// The name of a kind's list.
fn plural(kind: &str) -> String {
    let name = kind.to_lowercase();
    let stem = name.strip_suffix('y').filter(|stem| !stem.ends_with('a'));
    stem.map_or(format!("{name}s"), |stem| format!("{stem}ies"))
}

/// The API server tells a text once that it has from the definition and from the webhook.
#[test]
fn definitions_without_effect_warn_in_the_words_of_the_webhook() {
    let source = text("pilot/src/api/kind.rs");
    let effect = source.lines().find(|line| line.starts_with("const NO_EFFECT")).map(quoted).unwrap()[0];
    let template = text(&format!("{CRDS}/templates/_crd.tpl"));
    assert!(template.contains(&format!("\"Meltemi: %s {effect}\" $kind.kind")), "deprecationWarning of {CRDS}");
    assert!(text("pilot/src/webhook/validation.rs").contains("\"Meltemi: {kind_name} {effect}\""));
}

#[test]
fn the_charts_have_the_version_of_the_program() {
    for chart in [CRDS, CONTROL_PLANE] {
        let about = text(&format!("{chart}/Chart.yaml"));
        for key in ["version", "appVersion"] {
            assert_eq!(value(&about, key), env!("CARGO_PKG_VERSION"), "{key} of {chart}");
        }
    }
}
