//! Where something stands that an author is told of: a line of a file, an object of a cluster, or a part of its API.

use crate::model::ObjectRef;
use std::fmt;
use std::sync::Arc;

/// A place that a person can go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// In a directory of files.
    File {
        /// The file, relative to the configuration directory.
        file: Arc<str>,
        /// The line, from 1; 0 when no line is to blame.
        line: u32,
    },
    /// A kind as a cluster's API names it, for example `virtualservices.networking.istio.io`.
    Api(Arc<str>),
    /// An object of a cluster.
    Object(Arc<ObjectRef>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0 } => f.write_str(file),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Api(resource) => f.write_str(resource),
            Self::Object(object) => write!(f, "{object}"),
        }
    }
}
