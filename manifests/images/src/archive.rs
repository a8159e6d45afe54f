//! The archive: OCI's image layout in a tar, with Docker's `manifest.json` beside it for older `docker load`.

use crate::layer::{Layer, header, pack};
use crate::{Image, ImageError};
use serde_json::{Value, json};
use std::path::Path;
use tar::{Builder, EntryType};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The image's name.
    pub name: String,
    /// Digest of its manifest, `sha256:…`: what a registry or `ctr images ls` shows.
    pub digest: String,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Bytes of the unpacked layer.
    pub unpacked_bytes: u64,
}

/// Writes an image to a file.
pub fn write(image: &Image, target: &Path) -> Result<Written, ImageError> {
    let layer = pack(image)?;
    let config = configuration(image, &layer).to_string().into_bytes();
    let manifest = manifest(&config, &layer).to_string().into_bytes();
    let index = index(image, &manifest).to_string().into_bytes();
    let docker = docker_manifest(image, &config, &layer).to_string().into_bytes();

    let mut tar = Builder::new(Vec::new());
    let mut add = |name: String, bytes: &[u8]| {
        let mut header = header(EntryType::Regular, 0o644, bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).map_err(ImageError::write(target))
    };
    add("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add("index.json".to_owned(), &index)?;
    add("manifest.json".to_owned(), &docker)?;
    for blob in [&manifest, &config, &layer.bytes] {
        add(blob_path(&digest(blob)), blob)?;
    }
    let bytes = tar.into_inner().map_err(ImageError::write(target))?;
    std::fs::write(target, &bytes).map_err(ImageError::write(target))?;
    Ok(Written {
        name: image.name.clone(),
        digest: digest(&manifest),
        archive_bytes: bytes.len() as u64,
        unpacked_bytes: layer.plain_size as u64,
    })
}

/// `sha256:` and the hash in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn configuration(image: &Image, layer: &Layer) -> Value {
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "User": image.user, "Env": image.env, "Entrypoint": image.entrypoint, "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [layer.plain_digest] },
    })
}

fn manifest(config: &[u8], layer: &Layer) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor(layer.media_type, &layer.bytes)],
    })
}

fn index(image: &Image, manifest: &[u8]) -> Value {
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest);
    entry["annotations"] = json!({
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": tag(&image.name),
    });
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry] })
}

fn docker_manifest(image: &Image, config: &[u8], layer: &Layer) -> Value {
    json!([{
        "Config": blob_path(&digest(config)),
        "RepoTags": [image.name],
        "Layers": [blob_path(&digest(&layer.bytes))],
    }])
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

/// What stands behind the name's last colon, unless that is a registry's port.
fn tag(name: &str) -> &str {
    name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/')).unwrap_or("latest")
}

/// The machine's architecture by OCI's name, which is Go's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
