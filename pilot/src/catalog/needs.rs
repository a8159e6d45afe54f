//! What workloads turned out to need: the names that their replicas asked for. A new replica gets them at once instead
//! of asking again, and a Pilot that was restarted learns them from the subscriptions of the proxies that come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use xds::ResourceType;

/// How long a name is remembered after the last replica let go of it.
const GRACE: Duration = Duration::from_secs(600);

/// How many names are remembered of one workload; what is more is left to be asked for again.
const MAX_NAMES: usize = 10_000;

/// The time between two looks for what is over.
const SWEEP: Duration = Duration::from_secs(30);

/// A resource by kind and name.
pub(super) type Name = (ResourceType, Arc<str>);

/// The replicas of one workload: same identity, same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub namespace: Arc<str>,
    pub service_account: Arc<str>,
    /// The workload's name, else its canonical service.
    pub workload: Arc<str>,
}

/// The learned needs of all workloads.
#[derive(Debug, Default)]
pub(super) struct Needs(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    groups: HashMap<Group, HashMap<Name, Need>>,
    /// When names were last forgotten.
    swept: Option<Instant>,
}

#[derive(Debug)]
enum Need {
    /// So many replicas hold it by name.
    By(usize),
    /// Nobody has since then.
    Until(Instant),
}

impl Needs {
    /// A replica asked for a name. `false`: it is not remembered, for there are too many of that workload.
    pub(super) fn add(&self, group: &Group, name: Name) -> bool {
        let mut learned = self.0.lock();
        let names = learned.groups.entry(group.clone()).or_default();
        if names.len() >= MAX_NAMES && !names.contains_key(&name) {
            return false;
        }
        let need = names.entry(name).or_insert(Need::By(0));
        *need = match need {
            Need::By(count) => Need::By(*count + 1),
            Need::Until(_) => Need::By(1),
        };
        true
    }

    /// A replica let go of a name, or is gone.
    pub(super) fn release(&self, group: &Group, name: &Name, now: Instant) {
        let mut learned = self.0.lock();
        let Some(need) = learned.groups.get_mut(group).and_then(|names| names.get_mut(name)) else { return };
        *need = match need {
            Need::By(count) if *count > 1 => Need::By(*count - 1),
            Need::By(_) => Need::Until(now + GRACE),
            Need::Until(end) => Need::Until(*end),
        };
    }

    /// The names of one kind that a workload needs; forgets those whose time is over.
    pub(super) fn of(&self, group: &Group, kind: ResourceType, now: Instant) -> Vec<Arc<str>> {
        let mut learned = self.0.lock();
        let Some(names) = learned.groups.get_mut(group) else { return Vec::new() };
        names.retain(|_, need| match need {
            Need::By(_) => true,
            Need::Until(end) => now < *end,
        });
        let wanted = names.keys().filter(|(other, _)| *other == kind).map(|(_, name)| name.clone()).collect();
        if names.is_empty() {
            learned.groups.remove(group);
        }
        wanted
    }

    /// Forgets all names whose time is over, of all workloads. Cheap when it was done a moment ago.
    pub(super) fn expire(&self, now: Instant) {
        let mut learned = self.0.lock();
        if learned.swept.is_some_and(|last| now.saturating_duration_since(last) < SWEEP) {
            return;
        }
        learned.swept = Some(now);
        learned.groups.retain(|_, names| {
            names.retain(|_, need| !matches!(need, Need::Until(end) if *end <= now));
            !names.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        Group { namespace: "shop".into(), service_account: "web".into(), workload: "web".into() }
    }

    #[test]
    fn a_name_outlives_its_last_replica_by_the_grace() {
        let (needs, now) = (Needs::default(), Instant::now());
        let name: Name = (ResourceType::Listener, "10.0.0.1_80".into());
        let wanted = [Arc::from("10.0.0.1_80")];
        needs.add(&group(), name.clone());
        needs.add(&group(), name.clone());
        needs.release(&group(), &name, now);
        assert_eq!(needs.of(&group(), ResourceType::Listener, now + GRACE * 2), wanted);
        needs.release(&group(), &name, now);
        assert_eq!(needs.of(&group(), ResourceType::Listener, now + GRACE / 2), wanted);
        assert!(needs.of(&group(), ResourceType::Cluster, now).is_empty());
        assert!(needs.of(&group(), ResourceType::Listener, now + GRACE).is_empty());
        assert!(needs.0.lock().groups.is_empty());
    }

    #[test]
    fn a_workload_has_so_many_names_and_no_more() {
        let (needs, now) = (Needs::default(), Instant::now());
        let name = |n: usize| -> Name { (ResourceType::Listener, format!("10.0.0.1_{n}").into()) };
        assert!((0..MAX_NAMES).all(|n| needs.add(&group(), name(n))));
        assert!(!needs.add(&group(), name(MAX_NAMES)));
        assert!(needs.add(&group(), name(0)), "a name that is known already");
        assert_eq!(needs.of(&group(), ResourceType::Listener, now).len(), MAX_NAMES);
    }

    #[test]
    fn what_is_over_goes_whoever_looks() {
        let (needs, now) = (Needs::default(), Instant::now());
        let name: Name = (ResourceType::Listener, "10.0.0.1_80".into());
        needs.add(&group(), name.clone());
        needs.release(&group(), &name, now);
        needs.expire(now);
        assert!(!needs.0.lock().groups.is_empty());
        needs.expire(now + GRACE);
        assert!(needs.0.lock().groups.is_empty());
    }

    #[test]
    fn other_workloads_do_not_share() {
        let (needs, now) = (Needs::default(), Instant::now());
        needs.add(&group(), (ResourceType::Listener, "10.0.0.1_80".into()));
        let other = Group { workload: "batch".into(), ..group() };
        assert!(needs.of(&other, ResourceType::Listener, now).is_empty());
    }
}
