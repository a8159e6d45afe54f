//! The roots in a `caBundle`. Replicas need not know the same ones at each moment, so none takes out what another put
//! there: only what it trusted itself and no longer does.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What a bundle must hold, and what must go when it is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Bundle {
    roots: String,
    dropped: Vec<String>,
}

impl Bundle {
    pub(super) fn new(roots: &str) -> Self {
        Self { roots: roots.to_owned(), dropped: Vec::new() }
    }

    /// These are the roots now.
    pub(super) fn change(&mut self, roots: &str) {
        let gone = certificates(&self.roots).filter(|one| !holds(roots, one));
        self.dropped = gone.map(str::to_owned).collect();
        roots.clone_into(&mut self.roots);
    }

    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let text = std::str::from_utf8(text).unwrap_or_default();
        certificates(&self.roots).all(|one| holds(text, one))
    }

    /// The text with our roots in it; `None` when nothing changes.
    pub(super) fn put_into(&self, text: &[u8]) -> Option<String> {
        let valid = std::str::from_utf8(text).unwrap_or_default();
        if self.is_in(text) && !self.dropped.iter().any(|one| holds(valid, one)) {
            return None;
        }
        let others = certificates(valid);
        let others = others.filter(|one| !holds(&self.roots, one) && !self.dropped.iter().any(|gone| gone == one));
        Some(others.fold(self.roots.clone(), |all, one| format!("{all}{one}\n")))
    }
}

fn holds(text: &str, certificate: &str) -> bool {
    certificates(text).any(|one| one == certificate)
}

/// Each with its frame; what stands between them is no certificate.
fn certificates(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split_inclusive(END).filter(|part| part.ends_with(END));
    ends.filter_map(|part| Some(&part[part.rfind(BEGIN)?..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn pem(names: &[&str]) -> String {
        names.iter().map(|name| format!("{BEGIN}\n{name}\n{END}\n")).collect()
    }

    #[test]
    fn roots_are_added_to_what_others_put_there() {
        let bundle = Bundle::new(&pem(&["new"]));
        assert_eq!(bundle.put_into(b"").unwrap(), pem(&["new"]));
        assert_eq!(bundle.put_into(b"junk").unwrap(), pem(&["new"]));
        assert_eq!(bundle.put_into(pem(&["old"]).as_bytes()).unwrap(), pem(&["new", "old"]));
        assert_eq!(bundle.put_into(pem(&["old", "new"]).as_bytes()), None);
    }

    #[test]
    fn two_replicas_that_know_different_roots_write_once_each_and_are_at_peace() {
        let (here, there) = (Bundle::new(&pem(&["new", "old"])), Bundle::new(&pem(&["new"])));
        let text = here.put_into(there.put_into(b"").unwrap().as_bytes()).unwrap();
        assert!(here.is_in(text.as_bytes()) && there.is_in(text.as_bytes()));
        assert_eq!((here.put_into(text.as_bytes()), there.put_into(text.as_bytes())), (None, None));
    }

    #[test]
    fn what_is_no_longer_trusted_goes() {
        let mut bundle = Bundle::new(&pem(&["new", "old"]));
        bundle.change(&pem(&["new"]));
        let text = pem(&["new", "old", "another"]);
        assert!(bundle.is_in(text.as_bytes()), "whoever still needs it may put it back");
        assert_eq!(bundle.put_into(text.as_bytes()).unwrap(), pem(&["new", "another"]));
    }
}
