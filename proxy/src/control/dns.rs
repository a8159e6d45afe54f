//! Clusters whose endpoints are found by name: looks them up again and again in the background, keeping the last answer
//! while a look-up fails.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use record::Workload;
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::model::{Assignment, Cluster, Discovery, DnsFamily, Endpoint, Known};

/// The look-ups under way, one task a cluster.
pub struct DnsClusters {
    tasks: HashMap<Arc<str>, (Arc<Cluster>, AbortHandle)>,
    found: mpsc::Receiver<Found>,
    report: mpsc::Sender<Found>,
}

/// A cluster and the endpoints that its names stand for.
type Found = (Arc<str>, Known<Assignment>);

impl Default for DnsClusters {
    fn default() -> Self {
        let (report, found) = mpsc::channel(64);
        Self { tasks: HashMap::new(), found, report }
    }
}

impl DnsClusters {
    /// The next answer: a cluster's name and its endpoints.
    pub async fn next(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }

    /// Starts and stops look-ups so that exactly these clusters are looked up.
    pub fn follow<'a>(&mut self, clusters: impl Iterator<Item = &'a Arc<Cluster>>) {
        let wanted: HashMap<&Arc<str>, &Arc<Cluster>> = clusters.map(|cluster| (&cluster.name, cluster)).collect();
        self.tasks.retain(|name, (cluster, task)| {
            let keep = wanted.get(name).is_some_and(|new| Arc::ptr_eq(new, cluster));
            if !keep {
                task.abort();
            }
            keep
        });
        for (name, cluster) in wanted {
            if !self.tasks.contains_key(name) {
                let task = tokio::spawn(look_up_forever(cluster.clone(), self.report.clone()));
                self.tasks.insert(name.clone(), (cluster.clone(), task.abort_handle()));
            }
        }
    }
}

async fn look_up_forever(cluster: Arc<Cluster>, report: mpsc::Sender<Found>) {
    let Discovery::Dns { hosts, refresh, logical } = &cluster.discovery else { return };
    let mut answered = false;
    loop {
        let (addresses, complete) = look_up(hosts, cluster.dns_family).await;
        if complete || !answered {
            answered = true;
            let endpoints = addresses.into_iter().take(if *logical { 1 } else { usize::MAX }).map(endpoint).collect();
            if report.send((cluster.name.clone(), Known::Present(Arc::new(Assignment { endpoints })))).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(if complete { *refresh } else { Duration::from_secs(2) }).await;
    }
}

/// All addresses, and whether every name was answered.
async fn look_up(hosts: &[(Arc<str>, u16)], family: DnsFamily) -> (Vec<SocketAddr>, bool) {
    let mut addresses = Vec::new();
    let mut complete = true;
    for (host, port) in hosts {
        match lookup_host((host.as_ref(), *port)).await {
            Ok(found) => {
                addresses.extend(family.choose(found.collect()).into_iter().filter(|found| may_be_outside(host, found)))
            }
            Err(error) => {
                complete = false;
                tracing::warn!(%host, %error, "cannot resolve the name of an upstream; keeping the last answer");
            }
        }
    }
    (addresses, complete)
}

/// A name of the world may not lead to this very pod or to its node's metadata: the administration port is there.
fn may_be_outside(host: &str, address: &SocketAddr) -> bool {
    let inside = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        // `::`, `::1`, the `::6` of Istio's redirect rules: what begins with 96 zeros is of no use elsewhere.
        IpAddr::V6(ip) => ip.to_ipv4().is_some() || ip.is_unicast_link_local(),
    };
    if inside {
        tracing::warn!(host, %address, "the name of an upstream stands for an address of this pod or node; left out");
    }
    !inside
}

fn endpoint(address: SocketAddr) -> Arc<Endpoint> {
    let workload = Arc::new(Workload::default());
    Arc::new(Endpoint { address, other: None, weight: 1, workload, transport_match: Vec::new() })
}
