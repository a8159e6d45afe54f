//! The rules of the design that a compiler does not check: dependencies point one way, and outside types stay where
//! they belong.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod charts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Which of our crates each of our crates may use, tests included.
const MAY_USE: &[(&str, &[&str])] = &[
    ("record", &[]),
    ("xds", &[]),
    ("citadel", &["record"]),
    ("hub", &["record"]),
    ("proxy", &["xds", "citadel", "record"]),
    ("pilot", &["xds", "citadel", "record"]),
    ("lab", &["pilot", "citadel", "record", "xds"]),
    ("bench", &["lab"]),
    ("cli", &["proxy", "pilot", "citadel", "record", "hub", "lab", "xds"]),
    ("meltemi", &["cli"]),
    ("images", &[]),
    ("tests", &["lab", "images", "proxy", "pilot", "citadel", "record", "hub", "xds"]),
];

#[test]
fn dependencies_point_one_way() {
    let output = Command::new(env!("CARGO")).args(["metadata", "--format-version=1", "--no-deps"]).output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = rules.get(name) else {
            wrong.push(format!("{name} has no rule: say in MAY_USE what it may use"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            if rules.contains_key(used) && !allowed.contains(&used) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the design: {wrong:#?}");
}

/// A word, and the folders in which alone it may stand in code.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("envoy_types", &["xds/src"], "Envoy's types are re-exported by xds/ only"),
    ("xds::listener::", &["xds", "proxy/src/snapshot", "pilot/src/generate"], "Envoy's types stop at the boundary"),
    ("xds::cluster::", &["xds", "proxy/src/snapshot", "pilot/src/generate"], "Envoy's types stop at the boundary"),
    ("xds::route::", &["xds", "proxy/src/snapshot", "pilot/src/generate"], "Envoy's types stop at the boundary"),
    ("xds::endpoint::", &["xds", "proxy/src/snapshot", "pilot/src/generate"], "Envoy's types stop at the boundary"),
    ("xds::hcm::", &["xds", "proxy/src/snapshot", "pilot/src/generate"], "Envoy's types stop at the boundary"),
    ("prometheus::", &["telemetry"], "only telemetry/ names the metrics crate"),
    ("ServerConfig::builder", &["citadel"], "only citadel/ builds rustls configurations"),
    ("ClientConfig::builder", &["citadel"], "only citadel/ builds rustls configurations"),
];

#[test]
fn outside_types_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for file in rust_files(&root()) {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        if name.starts_with("tests/structure") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (word, folders, why) in ONLY_IN {
            let allowed = folders.iter().any(|folder| name.starts_with(folder));
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !allowed && line.contains(word)) {
                if !line.trim_start().starts_with("//") {
                    wrong.push(format!("{name}:{}: {word}: {why}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "against the design:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = rust_files(&root())
        .into_iter()
        .filter(|file| !file.ends_with("tests.rs") && !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "these files do not open with a `//!` line: {silent:#?}");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
