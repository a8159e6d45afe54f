//! The choice of an endpoint: round robin, least request, random; weights are honoured by each.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use super::Host;
use crate::model::LbPolicy;

/// Whose turn it is, for round robin.
#[derive(Default)]
pub struct Turn(Cell<u64>);

/// One of `hosts`, not one of `avoid` unless all are; `None` when there are none.
pub fn pick(policy: LbPolicy, hosts: &[Rc<Host>], avoid: &[SocketAddr], turn: &Turn) -> Option<Rc<Host>> {
    if avoid.is_empty() {
        return choose(policy, hosts, turn).cloned();
    }
    let fresh: Vec<Rc<Host>> = hosts.iter().filter(|host| !avoid.contains(&host.endpoint.address)).cloned().collect();
    choose(policy, if fresh.is_empty() { hosts } else { &fresh }, turn).cloned()
}

fn choose<'a>(policy: LbPolicy, hosts: &'a [Rc<Host>], turn: &Turn) -> Option<&'a Rc<Host>> {
    match (hosts, policy) {
        ([] | [_], _) => hosts.first(),
        (_, LbPolicy::RoundRobin) => {
            let now = turn.0.get();
            turn.0.set(now.wrapping_add(1));
            by_share(hosts, now % total(hosts))
        }
        (_, LbPolicy::Random) => by_share(hosts, fastrand::u64(..total(hosts))),
        (_, LbPolicy::LeastRequest { choices }) => {
            let draw = |_| by_share(hosts, fastrand::u64(..total(hosts)));
            (0..choices.max(2)).filter_map(draw).min_by_key(|host| host.active.get())
        }
    }
}

fn total(hosts: &[Rc<Host>]) -> u64 {
    hosts.iter().map(|host| u64::from(host.endpoint.weight)).sum::<u64>().max(1)
}

/// The host into whose part of the total the number falls.
fn by_share(hosts: &[Rc<Host>], mut number: u64) -> Option<&Rc<Host>> {
    hosts.iter().find(|host| {
        let weight = u64::from(host.endpoint.weight);
        let hit = number < weight;
        number = number.wrapping_sub(weight);
        hit
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::Arc;

    use super::*;
    use crate::model::Endpoint;

    fn hosts(weights: &[u32]) -> Vec<Rc<Host>> {
        let host = |(n, weight): (usize, &u32)| {
            Host::new(Arc::new(Endpoint {
                address: SocketAddr::from(([10, 0, 0, u8::try_from(n).unwrap()], 80)),
                other: None,
                weight: *weight,
                workload: Arc::default(),
                transport_match: Vec::new(),
            }))
        };
        weights.iter().enumerate().map(host).collect()
    }

    fn last_byte(host: &Rc<Host>) -> usize {
        host.endpoint.address.to_string().trim_end_matches(":80").rsplit('.').next().unwrap().parse().unwrap()
    }

    #[test]
    fn round_robin_takes_each_in_turn_by_weight() {
        let hosts = hosts(&[1, 2, 1]);
        let turn = Turn::default();
        let picked: Vec<usize> =
            (0..8).map(|_| last_byte(&pick(LbPolicy::RoundRobin, &hosts, &[], &turn).unwrap())).collect();
        assert_eq!(picked, [0, 1, 1, 2, 0, 1, 1, 2]);
    }

    #[test]
    fn least_request_leaves_the_busy_one_alone() {
        let hosts = hosts(&[1, 1]);
        hosts[0].active.set(10);
        let turn = Turn::default();
        let busy = (0..1000)
            .filter(|_| last_byte(&pick(LbPolicy::LeastRequest { choices: 2 }, &hosts, &[], &turn).unwrap()) == 0)
            .count();
        // Both draws fall on the busy one in a quarter of the cases; 1000 draws stay within 5 standard deviations.
        assert!((180..320).contains(&busy), "{busy} of 1000");
    }

    #[test]
    fn a_host_that_failed_is_avoided_while_there_is_another() {
        let hosts = hosts(&[1, 1]);
        let avoid = [hosts[0].endpoint.address];
        let turn = Turn::default();
        for policy in [LbPolicy::RoundRobin, LbPolicy::Random, LbPolicy::LeastRequest { choices: 2 }] {
            assert_eq!(last_byte(&pick(policy, &hosts, &avoid, &turn).unwrap()), 1);
            assert_eq!(last_byte(&pick(policy, &hosts[..1], &avoid, &turn).unwrap()), 0);
        }
    }

    #[test]
    fn no_hosts_no_choice() {
        assert!(pick(LbPolicy::Random, &[], &[], &Turn::default()).is_none());
    }
}
