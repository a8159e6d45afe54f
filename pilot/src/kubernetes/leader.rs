//! One replica leads: it holds a Lease and renews it (client-go's leader election, so that `kubectl get lease` and
//! people read it as they are used to). A leader that cannot renew stops well before others may take over.

use std::time::Duration;

use citadel::kubernetes::explain;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use record::{Gauge, LogLimit, Metrics};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::lease::{self, Observed};

/// The Lease of the control plane.
pub const LEASE: &str = "meltemi-leader";

/// A leader that has not renewed for so long is none any more; others wait 15 s.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);
/// For giving the Lease up when the process stops.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// Who stands for election, and where.
#[derive(Debug, Clone)]
pub struct LeaderOptions {
    /// The control plane's namespace.
    pub namespace: String,
    /// The Lease's name, usually [`LEASE`].
    pub lease: String,
    /// A name that no other process has at the same time: the pod's.
    pub identity: String,
}

/// Stands for election until `stop` completes, then gives the Lease up and ends. The receiver says whether this
/// replica leads; it is closed when the task is gone, and nobody leads then. Needs `get`, `create` and `update` on
/// Leases of the namespace.
pub fn run(
    client: Client,
    options: LeaderOptions,
    metrics: &Metrics,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (watch::Receiver<bool>, impl Future<Output = ()> + Send + 'static) {
    let (leads, receiver) = watch::channel(false);
    let election = Election {
        api: Api::namespaced(client, &options.namespace),
        options,
        leads,
        gauge: metrics.gauge("meltemi_leader", "Whether this replica leads the control plane: 1 or 0"),
        observed: Observed::default(),
        renewed: None,
        failing: LogLimit::new(Duration::from_secs(30)),
    };
    election.gauge.set(0.0);
    (receiver, election.run(stop))
}

/// Does `work`, which never ends by itself, whenever this replica leads, and drops it as soon as it no longer does.
/// Ends with the election.
pub async fn while_leading<F: Future<Output = ()>>(mut leads: watch::Receiver<bool>, mut work: impl FnMut() -> F) {
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            _ = leads.wait_for(|leads| !*leads) => {}
            () = work() => {}
        }
    }
}

/// A task that ends for whatever reason leads no more.
impl Drop for Election {
    fn drop(&mut self) {
        self.leads.send_replace(false);
    }
}

struct Election {
    api: Api<Lease>,
    options: LeaderOptions,
    leads: watch::Sender<bool>,
    gauge: Gauge,
    observed: Observed,
    /// While leading: when the last renewal that succeeded was begun.
    renewed: Option<Instant>,
    failing: LogLimit,
}

enum Outcome {
    Held,
    HeldBy(String),
    /// Another candidate wrote first; the next look tells who holds it.
    Outrun,
}

impl Election {
    async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let election = async {
            loop {
                self.attempt().await;
                sleep(self.pause()).await;
            }
        };
        tokio::select! {
            () = stop => {}
            () = election => {}
        }
        self.release().await;
    }

    async fn attempt(&mut self) {
        let started = Instant::now();
        let deadline = self.renewed.unwrap_or(started) + RENEW_WITHIN;
        match timeout_at(deadline, self.acquire_or_renew()).await {
            Ok(Ok(Outcome::Held)) => self.lead(started),
            Ok(Ok(Outcome::HeldBy(other))) => self.follow(&format!("{other} holds the Lease")),
            Ok(Ok(Outcome::Outrun)) => {}
            Ok(Err(reason)) => self.failed(&reason),
            Err(_) => self.failed("no answer in time"),
        }
        if self.renewed.is_some_and(|renewed| Instant::now() >= renewed + RENEW_WITHIN) {
            self.follow("the Lease could not be renewed in time");
        }
    }

    async fn acquire_or_renew(&mut self) -> Result<Outcome, String> {
        let (me, name) = (&self.options.identity, &self.options.lease);
        let before = self.api.get_opt(name).await.map_err(|error| explain(&error))?;
        if let Some(lease) = &before
            && let Some(other) = self.observed.holder_other_than(me, lease, Instant::now())
        {
            return Ok(Outcome::HeldBy(other));
        }
        let (exists, lease) = (before.is_some(), lease::held_by(me, name, before));
        // The version of what was read goes along, so of several candidates one succeeds.
        let written = match exists {
            true => self.api.replace(name, &PostParams::default(), &lease).await,
            false => self.api.create(&PostParams::default(), &lease).await,
        };
        match written {
            Ok(_) => Ok(Outcome::Held),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Outcome::Outrun),
            Err(error) => Err(explain(&error)),
        }
    }

    fn lead(&mut self, since: Instant) {
        self.renewed = Some(since);
        if !self.leads.send_replace(true) {
            self.gauge.set(1.0);
            tracing::info!(lease = self.options.lease, me = self.options.identity, "this replica leads now");
        }
    }

    fn follow(&mut self, reason: &str) {
        self.renewed = None;
        if self.leads.send_replace(false) {
            self.gauge.set(0.0);
            tracing::warn!(lease = self.options.lease, "this replica no longer leads: {reason}");
        }
    }

    fn failed(&self, reason: &str) {
        if let Some(left_out) = self.failing.admit() {
            let lease = format!("{}/{}", self.options.namespace, self.options.lease);
            tracing::warn!(left_out, "cannot hold the Lease {lease}: {reason}");
        }
    }

    /// A leader is never late. Candidates spread out, and are there when the Lease ends.
    fn pause(&self) -> Duration {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        match (self.renewed, self.observed.end()) {
            (Some(renewed), _) => RETRY.min(left(renewed + RENEW_WITHIN)),
            (None, end) => {
                let pause = RETRY.mul_f64(0.5 + fastrand::f64() / 2.0);
                end.map(left).filter(|left| !left.is_zero() && *left < pause).unwrap_or(pause)
            }
        }
    }

    /// What a leader does has ended, or is about to, when the Lease is free.
    async fn release(mut self) {
        if self.renewed.is_none() {
            return;
        }
        self.follow("it stops");
        let work = async {
            let lease = self.api.get(&self.options.lease).await?;
            if let Some(lease) = lease::released_by(&self.options.identity, lease) {
                self.api.replace(&self.options.lease, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(RELEASE_WITHIN, work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failed(&explain(&error)),
            Err(_) => self.failed("no answer in time; others lead when it has run out"),
        }
    }
}
