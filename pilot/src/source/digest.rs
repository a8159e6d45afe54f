//! Tells without keeping it whether something is what it was.

use std::hash::{DefaultHasher, Hash, Hasher};

/// 128 bits of a value; equal digests mean equal values.
pub(super) type Digest = [u64; 2];

/// The digest of a value.
pub(super) fn digest(value: &(impl Hash + ?Sized)) -> Digest {
    [0, 1].map(|seed| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        value.hash(&mut hasher);
        hasher.finish()
    })
}
