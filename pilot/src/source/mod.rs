//! Where objects come from. A source hands over versions of objects with their places; nothing behind it knows
//! which source it was.

mod candidates;
mod digest;
mod directory;
mod file;
mod kubernetes;
mod problem;
mod registry;
mod scan;
mod watch;

pub use candidates::Candidates;
pub use directory::Directory;
pub use kubernetes::Cluster;
pub use problem::SourceProblem;

/// What a look at the source gave.
#[derive(Debug, Default)]
pub struct Reload {
    /// The newest version of each object.
    pub candidates: Candidates,
    /// What is wrong with the source itself.
    pub problems: Vec<SourceProblem>,
    /// Everything that the source holds has been read; false only while a cluster is read for the first time, when
    /// there are no candidates yet.
    pub complete: bool,
}

/// Ends the reading of a source when it is dropped.
pub enum Running {
    /// Of a directory.
    Directory(#[expect(dead_code, reason = "dropping it is its use")] watch::Stopper),
    /// Of a cluster.
    Cluster(#[expect(dead_code, reason = "dropping it is its use")] kubernetes::Stopper),
}
