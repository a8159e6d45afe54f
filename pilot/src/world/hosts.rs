//! Lookup of a host among exact names and wildcards, the most specific first.

use crate::model::Host;
use std::collections::HashMap;

/// Values by host or wildcard.
#[derive(Clone, Debug)]
pub struct HostTable<T>(HashMap<Host, T>);

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> HostTable<T> {
    /// The value under exactly this name.
    pub fn exact(&self, host: &Host) -> Option<&T> {
        self.0.get(host)
    }

    /// The value under exactly this name, made if there is none.
    pub fn entry(&mut self, host: Host) -> &mut T
    where
        T: Default,
    {
        self.0.entry(host).or_default()
    }

    /// The values that cover a host: its own name first, then wildcards from the longest to `*`.
    /// One hash lookup for each label of the name.
    pub fn covering<'a, 'h>(&'a self, host: &'h Host) -> impl Iterator<Item = &'a T> + use<'a, 'h, T> {
        let own = self.0.get(host);
        let name = host.as_str();
        let dots = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| at);
        let wildcards = dots.filter(move |at| !(host.is_wildcard() && *at == 1));
        own.into_iter()
            .chain(wildcards.filter_map(move |at| self.0.get(format!("*{}", &name[at..]).as_str())))
            .chain((name != "*").then(|| self.0.get("*")).flatten())
    }

    /// All names and values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Host, &T)> {
        self.0.iter()
    }
}
