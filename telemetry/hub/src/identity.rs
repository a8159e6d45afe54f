//! Who a reporter is. A proxy reports as the namespace and service account that its certificate proves,
//! and as no other.

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use record::names::{ATTRIBUTE_NAMESPACE, ATTRIBUTE_SERVICE_ACCOUNT};

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub namespace: String,
    pub service_account: String,
}

impl Account {
    /// Reads `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` and nothing else.
    pub fn from_spiffe(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix("spiffe://")?.split('/');
        let trust_domain = parts.next()?;
        let (ns, namespace, sa, service_account) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let shape = ns == "ns" && sa == "sa" && parts.next().is_none();
        let filled = ![trust_domain, namespace, service_account].contains(&"");
        (shape && filled).then(|| Self { namespace: namespace.to_owned(), service_account: service_account.to_owned() })
    }
}

/// A reporter whose certificate was verified.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// SPIFFE id.
    pub uri: String,
    pub account: Account,
}

/// Why a report is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotYou {
    #[error("a metrics report needs a client certificate; connect with the workload's own")]
    NoCertificate,
    #[error(
        "the client certificate says {0:?}, which is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>"
    )]
    NotAWorkload(String),
    #[error("the report lacks the resource attribute {0}; a reporter must say who it is")]
    Missing(&'static str),
    #[error("the report says {attribute}={claimed:?}, but the client certificate is {uri}; report as that identity")]
    Other { attribute: &'static str, claimed: String, uri: String },
}

impl Peer {
    pub fn new(uri: Option<String>) -> Result<Self, NotYou> {
        let uri = uri.ok_or(NotYou::NoCertificate)?;
        match Account::from_spiffe(&uri) {
            Some(account) => Ok(Self { uri, account }),
            None => Err(NotYou::NotAWorkload(uri)),
        }
    }

    /// Whether these resource attributes name this peer.
    pub fn check(&self, resource: &[KeyValue]) -> Result<(), NotYou> {
        let proved = [
            (ATTRIBUTE_NAMESPACE, &self.account.namespace),
            (ATTRIBUTE_SERVICE_ACCOUNT, &self.account.service_account),
        ];
        for (attribute, proved) in proved {
            let claimed = text(resource, attribute).ok_or(NotYou::Missing(attribute))?;
            if claimed != proved {
                let claimed = claimed.chars().take(100).collect();
                return Err(NotYou::Other { attribute, claimed, uri: self.uri.clone() });
            }
        }
        Ok(())
    }
}

/// The value of a string attribute. One that occurs twice counts as missing: readers differ on which of
/// the two holds.
pub(crate) fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let mut named = attributes.iter().filter(|pair| pair.key == key);
    let (first, second) = (named.next()?, named.next());
    match first.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(value) if second.is_none() => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn a_workloads_id_is_read_and_nothing_else() {
        let account = Account::from_spiffe("spiffe://cluster.local/ns/shop/sa/catalog");
        let expected = Account { namespace: "shop".into(), service_account: "catalog".into() };
        assert_eq!(account, Some(expected));
        for uri in [
            "",
            "spiffe://cluster.local",
            "spiffe:///ns/shop/sa/catalog",
            "spiffe://cluster.local/ns//sa/catalog",
            "spiffe://cluster.local/ns/shop/sa/",
            "spiffe://cluster.local/ns/shop/sa/catalog/",
            "spiffe://cluster.local/ns/shop/sa/catalog/more",
            "spiffe://cluster.local/sa/shop/ns/catalog",
            "https://cluster.local/ns/shop/sa/catalog",
        ] {
            assert_eq!(Account::from_spiffe(uri), None, "{uri}");
        }
    }
}
