//! Copies of requests to another cluster: `RequestMirrorPolicy`.

use std::sync::Arc;

use super::fraction::Fraction;
use super::normalise::without_port;

/// Where copies go, and of how many requests.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// The cluster that gets them. Its answers are thrown away.
    pub cluster: Arc<str>,
    /// The share of requests.
    pub fraction: Fraction,
    /// Mark copies in their authority; Envoy's default.
    pub mark_authority: bool,
}

impl Mirror {
    /// Whether a request that drew `random` is copied.
    pub fn chosen(&self, random: u64) -> bool {
        self.fraction.hits(random)
    }

    /// The authority of the copy: `host-shadow:port`, so that the receiver can tell copies from requests.
    pub fn authority(&self, authority: &str) -> String {
        if !self.mark_authority || authority.is_empty() {
            return authority.to_owned();
        }
        let host = without_port(authority);
        format!("{host}-shadow{}", authority.get(host.len()..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_marked_before_the_port() {
        let mut mirror = Mirror { cluster: "outbound|80||copy".into(), fraction: Fraction::ALL, mark_authority: true };
        assert_eq!(mirror.authority("reviews"), "reviews-shadow");
        assert_eq!(mirror.authority("reviews:9080"), "reviews-shadow:9080");
        mirror.mark_authority = false;
        assert_eq!(mirror.authority("reviews:9080"), "reviews:9080");
    }

    #[test]
    fn a_share_is_copied() {
        let mirror = Mirror { cluster: "c".into(), fraction: Fraction::new(25, 100), mark_authority: true };
        assert_eq!((0..100).filter(|random| mirror.chosen(*random)).count(), 25);
    }
}
