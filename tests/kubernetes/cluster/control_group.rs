//! The control groups of one cluster: they hold all of its processes, so that none escapes its end. They are the one thing
//! that no namespace takes away, so whoever finds those of a dead cluster removes them.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ClusterError;

const PREFIX: &str = "meltemi-cluster-";
/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A group of the same name in every hierarchy. Dropping it kills all that is in it.
#[derive(Debug)]
pub struct ControlGroup {
    name: String,
    hierarchies: Hierarchies,
    /// Locked for as long as the cluster lives; the lock goes with its process.
    _alive: File,
}

/// Where control groups are mounted: many places with version 1, one with version 2.
#[derive(Debug)]
pub struct Hierarchies {
    /// The one that every process of a cluster is in.
    main: PathBuf,
    others: Vec<PathBuf>,
}

impl ControlGroup {
    pub fn create() -> Result<ControlGroup, ClusterError> {
        let hierarchies = Hierarchies::find()?;
        let (name, alive) = claim(&hierarchies.main)?;
        for other in &hierarchies.others {
            let path = other.join(&name);
            fs::create_dir(&path).map_err(ClusterError::io(format!("create {}", path.display())))?;
        }
        let group = ControlGroup { name, hierarchies, _alive: alive };
        let node = group.node();
        fs::create_dir(&node).map_err(ClusterError::io(format!("create {}", node.display())))?;
        Ok(group)
    }

    /// As kubelet names it.
    pub fn name(&self) -> String {
        format!("/{}", self.name)
    }

    /// The file to which a process writes its id to belong to the cluster.
    pub fn entrance(&self) -> PathBuf {
        self.node().join("cgroup.procs")
    }

    /// With version 2 only leaves hold processes, hence one for those that are in no pod.
    fn node(&self) -> PathBuf {
        self.hierarchies.main.join(&self.name).join("node")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let left = self.hierarchies.end(&self.name);
        if let Err(error) = left {
            eprintln!("left behind: control group {}: {error}", self.name);
        }
    }
}

/// A new group of a name that nobody has, and the lock on it.
fn claim(main: &Path) -> Result<(String, File), ClusterError> {
    loop {
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{PREFIX}{nanoseconds:x}");
        let path = main.join(&name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            other => other.map_err(ClusterError::io(format!("create control group {}", path.display())))?,
        }
        // A sweep may come in between, before the lock is ours; then it is not there any more.
        if let Ok(group) = File::open(&path)
            && group.try_lock().is_ok()
            && let (Ok(opened), Ok(present)) = (group.metadata(), path.metadata())
            && opened.ino() == present.ino()
        {
            return Ok((name, group));
        }
    }
}

impl Hierarchies {
    /// Removes the groups of clusters whose programs are gone.
    pub fn sweep(&self) -> Result<(), ClusterError> {
        let listing = || ClusterError::io(format!("list {}", self.main.display()));
        for entry in fs::read_dir(&self.main).map_err(listing())? {
            let name = entry.map_err(listing())?.file_name().to_string_lossy().into_owned();
            if !name.starts_with(PREFIX) {
                continue;
            }
            // Gone already means that somebody else sweeps, too; locked, that the cluster lives.
            let Ok(group) = File::open(self.main.join(&name)) else { continue };
            if group.try_lock().is_ok() {
                self.end(&name).map_err(ClusterError::io(format!("remove control group {name}")))?;
            }
        }
        Ok(())
    }

    pub fn find() -> Result<Hierarchies, ClusterError> {
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").map_err(ClusterError::io("read /proc/self/mountinfo"))?;
        parse(&mounts).ok_or_else(|| ClusterError::Machine("no control groups are mounted (/sys/fs/cgroup)".to_owned()))
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        // The main one last: as long as it is there, a sweep finds the others.
        self.others.iter().chain([&self.main])
    }

    /// Kills what is in the group and removes it everywhere.
    fn end(&self, name: &str) -> std::io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let alive = kill_all(&self.main.join(name));
            let removed = self.all().try_for_each(|hierarchy| remove(&hierarchy.join(name)));
            match removed {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(std::io::Error::other(format!("{error}; {alive} processes are in it")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

/// The mount points in the text of a mountinfo file. A hybrid machine has both versions; the controllers are in the first.
fn parse(mounts: &str) -> Option<Hierarchies> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let is_memory = right.split([' ', ',']).any(|word| word == "memory");
        if matches!(kind, "cgroup" | "cgroup2") {
            found.push((!is_memory, PathBuf::from(point)));
        }
    }
    found.sort();
    found.dedup();
    let mut paths = found.into_iter().map(|(_, path)| path);
    Some(Hierarchies { main: paths.next()?, others: paths.collect() })
}

/// Kills the processes of a group and of those below; returns how many there were.
fn kill_all(group: &Path) -> usize {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let ids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).filter(|id| *id > 0).collect();
    for id in &ids {
        // It may have ended since the listing.
        let _ = kill(Pid::from_raw(*id), Signal::SIGKILL);
    }
    ids.len() + below(group).iter().map(|group| kill_all(group)).sum::<usize>()
}

fn remove(group: &Path) -> std::io::Result<()> {
    for group in below(group) {
        remove(&group)?;
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn below(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::parse;
    use std::path::PathBuf;

    #[test]
    fn the_memory_hierarchy_comes_first() {
        let hybrid = "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 29 0:27 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n\
                      32 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = parse(hybrid).unwrap();
        assert_eq!(found.main, PathBuf::from("/sys/fs/cgroup/memory"));
        assert_eq!(found.others, ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(PathBuf::from));
    }

    #[test]
    fn version_2_alone_is_one_hierarchy() {
        let found = parse("24 23 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n").unwrap();
        assert_eq!(found.main, PathBuf::from("/sys/fs/cgroup"));
        assert!(found.others.is_empty());
        assert!(parse("24 23 0:22 / / rw - ext4 /dev/vda rw\n").is_none());
    }
}
