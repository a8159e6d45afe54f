//! What a runtime finds in an archive: a layout whose digests hold, the same bytes each time, and files as they were asked for.
#![allow(clippy::unwrap_used, missing_docs)]

use flate2::read::GzDecoder;
use images::Image;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use tar::{Archive, EntryType};

const NAME: &str = "example.net:5000/team/thing:1.2";

fn image() -> Image {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    Image::new(NAME)
        .user("1000:1000")
        .entrypoint(["/usr/bin/thing", "--flag"])
        .env("COLOUR", "blue")
        .file(manifest, "/usr/bin/thing", 0o755)
        .text("/etc/thing.conf", "x\n")
        .link("/bin/thing", "../usr/bin/thing")
}

fn write(image: &Image) -> (tempfile::TempDir, PathBuf, images::Written) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tar");
    let written = image.write(&path).unwrap();
    (folder, path, written)
}

fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = Archive::new(std::fs::File::open(path).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, std::fs::File>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The blob that a descriptor names, which must have the size and digest that it says.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = &files[&format!("blobs/sha256/{digest}")];
    assert_eq!(sha256(bytes), digest);
    assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
    bytes
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The layer's tar, and the configuration.
fn unpack(image: &Image) -> (Vec<u8>, Value) {
    let (_folder, path, written) = write(image);
    let files = files(&path);
    let index = json(&files["index.json"]);
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], NAME);
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1.2");
    assert_eq!(index["manifests"][0]["digest"], written.digest.as_str());
    let manifest = json(blob(&files, &index["manifests"][0]));
    let config = json(blob(&files, &manifest["config"]));
    let layer = blob(&files, &manifest["layers"][0]);
    let mut plain = Vec::new();
    match manifest["layers"][0]["mediaType"].as_str().unwrap() {
        "application/vnd.oci.image.layer.v1.tar+gzip" => drop(GzDecoder::new(layer).read_to_end(&mut plain).unwrap()),
        "application/vnd.oci.image.layer.v1.tar" => plain = layer.to_vec(),
        other => panic!("{other}"),
    }
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&plain)));
    let docker = json(&files["manifest.json"]);
    assert_eq!(docker[0]["RepoTags"][0], NAME);
    assert!(files.contains_key(docker[0]["Config"].as_str().unwrap()));
    assert!(files.contains_key(docker[0]["Layers"][0].as_str().unwrap()));
    (plain, config)
}

#[test]
fn every_digest_holds_and_the_configuration_says_what_was_asked() {
    let (_, config) = unpack(&image());
    assert_eq!(config["config"]["User"], "1000:1000");
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/usr/bin/thing", "--flag"]));
    assert_eq!(config["config"]["Env"][1], "COLOUR=blue");
    assert_eq!(config["os"], "linux");
}

#[test]
fn a_layer_is_the_same_compressed_or_not() {
    assert_eq!(unpack(&image()).0, unpack(&image().uncompressed()).0);
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let ((_a, first, _), (_b, second, _)) = (write(&image()), write(&image()));
    assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
}

#[test]
fn files_have_their_mode_belong_to_root_and_come_after_their_folder() {
    let (layer, _) = unpack(&image());
    let mut seen: BTreeMap<PathBuf, (EntryType, u32)> = BTreeMap::new();
    for entry in Archive::new(layer.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        let path = entry.path().unwrap().into_owned();
        let parent = path.parent().unwrap();
        assert!(parent == Path::new("") || seen[parent].0 == EntryType::Directory, "{path:?} before its folder");
        seen.insert(path, (header.entry_type(), header.mode().unwrap()));
    }
    assert_eq!(seen[Path::new("tmp")], (EntryType::Directory, 0o1777));
    assert_eq!(seen[Path::new("usr/bin/thing")], (EntryType::Regular, 0o755));
    assert_eq!(seen[Path::new("etc/thing.conf")], (EntryType::Regular, 0o644));
    assert_eq!(seen[Path::new("bin/thing")].0, EntryType::Symlink);
}

#[test]
fn a_file_that_is_missing_is_named_with_its_image() {
    let error = Image::new("a:1").file("/nowhere", "/x", 0o644).write(Path::new("/tmp/never")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere, which the image a:1 needs"), "{error}");
}
