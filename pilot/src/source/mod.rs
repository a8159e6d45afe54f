//! Where objects come from. A source hands over versions of objects with their places; nothing behind it knows
//! which source it was.

mod directory;
mod file;
mod registry;
mod scan;
mod watch;

pub use directory::{Directory, Reload, Running};
pub use registry::{Candidates, FileProblem};
