//! The one layer of an image: a tar whose bytes depend on names, modes and contents only.

use crate::archive::digest;
use crate::{Entry, Image, ImageError, Source};
use flate2::{Compression, GzBuilder};
use std::borrow::Cow;
use std::io::{Error, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// A layer's bytes, as they are stored.
pub struct Layer {
    pub bytes: Vec<u8>,
    /// Digest of the tar before compression, which the configuration names.
    pub plain_digest: String,
    /// Size of the tar before compression.
    pub plain_size: usize,
    pub media_type: &'static str,
}

/// Packs all entries; parents come before what they hold, for that is how paths sort.
pub fn pack(image: &Image) -> Result<Layer, ImageError> {
    let mut tar = Builder::new(Vec::new());
    for (target, entry) in &image.entries {
        add(&mut tar, target, entry, &image.name)?;
    }
    let plain = tar.into_inner().map_err(in_memory)?;
    let (plain_digest, plain_size) = (digest(&plain), plain.len());
    if !image.compressed {
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        return Ok(Layer { bytes: plain, plain_digest, plain_size, media_type });
    }
    // GzBuilder writes no file name and no time unless told to.
    let mut packed = GzBuilder::new().write(Vec::new(), Compression::default());
    packed.write_all(&plain).map_err(in_memory)?;
    let bytes = packed.finish().map_err(in_memory)?;
    Ok(Layer { bytes, plain_digest, plain_size, media_type: "application/vnd.oci.image.layer.v1.tar+gzip" })
}

fn add(tar: &mut Builder<Vec<u8>>, target: &Path, entry: &Entry, image: &str) -> Result<(), ImageError> {
    let name = target.strip_prefix("/").unwrap_or(target);
    match entry {
        Entry::Directory { mode } => {
            let mut header = header(EntryType::Directory, *mode, 0);
            tar.append_data(&mut header, name, std::io::empty()).map_err(in_memory)
        }
        Entry::Link { to } => {
            let mut header = header(EntryType::Symlink, 0o777, 0);
            tar.append_link(&mut header, name, to).map_err(in_memory)
        }
        Entry::File { source, mode } => {
            let bytes = read(source, image)?;
            let mut header = header(EntryType::Regular, *mode, bytes.len() as u64);
            tar.append_data(&mut header, name, bytes.as_ref()).map_err(in_memory)
        }
    }
}

fn read<'a>(source: &'a Source, image: &str) -> Result<Cow<'a, [u8]>, ImageError> {
    match source {
        Source::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        Source::File(path) => std::fs::read(path).map(Cow::Owned).map_err(|source| ImageError::Read {
            path: path.clone(),
            image: image.to_owned(),
            source,
        }),
    }
}

/// Owner root, time 0.
pub fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Writing to memory fails only for what cannot be written in a tar at all, such as a name of thousands of letters.
fn in_memory(source: Error) -> ImageError {
    ImageError::Write { path: "the layer".into(), source }
}
