//! The charts, which travel inside the program: `meltemi install` needs no repository and no checkout.

use anyhow::Context;
use rust_embed::RustEmbed;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

#[derive(RustEmbed)]
#[folder = "../manifests/charts"]
struct Embedded;

/// The charts as files, for Helm; removed when dropped.
pub struct Charts {
    folder: TempDir,
}

impl Charts {
    /// Writes them to a folder of their own.
    pub fn unpack() -> anyhow::Result<Charts> {
        let folder = tempfile::Builder::new().prefix("meltemi-charts-").tempdir().context("make a temporary folder")?;
        for name in Embedded::iter() {
            let Some(file) = Embedded::get(&name) else { continue };
            write(&folder.path().join(name.as_ref()), &file.data)
                .with_context(|| format!("unpack the chart file {name}"))?;
        }
        Ok(Charts { folder })
    }

    /// The folder of one chart.
    pub fn chart(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The names of the definitions that the chart of the CRDs brings, such as `virtualservices.networking.istio.io`.
pub fn definitions() -> Vec<String> {
    let kinds = Embedded::iter().filter(|name| name.starts_with("meltemi-crds/kinds/"));
    let texts = kinds.filter_map(|name| Embedded::get(&name)).map(|file| file.data);
    texts.filter_map(|text| definition(std::str::from_utf8(&text).ok()?)).collect()
}

/// The name of the one that a file of the chart describes.
fn definition(kind: &str) -> Option<String> {
    let value = |key| kind.lines().find_map(|line| line.strip_prefix(key));
    Some(format!("{}.{}", value("plural: ")?, value("group: ")?))
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Charts, definitions};
    use std::collections::BTreeSet;

    #[test]
    fn both_charts_are_inside_with_their_templates() {
        let charts = Charts::unpack().unwrap();
        for name in ["meltemi-crds", "meltemi"] {
            let chart = charts.chart(name);
            let about = std::fs::read_to_string(chart.join("Chart.yaml")).unwrap();
            assert!(about.contains(&format!("name: {name}\n")), "{about}");
            assert!(chart.join("values.schema.json").is_file());
            assert!(std::fs::read_dir(chart.join("templates")).unwrap().count() > 0);
        }
    }

    #[test]
    fn the_definitions_are_known_by_name() {
        let expected = [
            "destinationrules.networking.istio.io",
            "peerauthentications.security.istio.io",
            "serviceentries.networking.istio.io",
            "virtualservices.networking.istio.io",
        ];
        assert_eq!(definitions().into_iter().collect::<BTreeSet<_>>(), expected.map(str::to_owned).into());
    }
}
