//! Who may see an object: `exportTo`.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The namespaces that an object is visible to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ExportTo {
    /// The whole mesh (`*`, and the default).
    #[default]
    All,
    /// These namespaces; `.` is already replaced by the object's own. Empty means nobody (`~`).
    Namespaces(BTreeSet<Arc<str>>),
}

impl ExportTo {
    /// Whether clients in `namespace` see the object.
    pub fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(set) => set.contains(namespace),
        }
    }
}
