//! One state-of-the-world stream of secrets, as a state machine without a socket.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    Resource, ResourceType,
    discovery::{DiscoveryRequest, DiscoveryResponse},
};

/// What one stream has asked for and was sent.
#[derive(Debug, Default)]
pub(super) struct SotwState {
    names: BTreeSet<String>,
    nonce: u64,
    /// The version that was sent last, of these names.
    sent: Option<String>,
}

impl SotwState {
    /// Takes a request: the names that it lists are all that is wanted. One that answers an older response than the
    /// last says nothing new.
    pub fn request(&mut self, request: DiscoveryRequest) {
        if !request.response_nonce.is_empty() && request.response_nonce != self.nonce.to_string() {
            return;
        }
        if let Some(error) = &request.error_detail {
            tracing::warn!("the data plane refused a secret: {}", error.message);
        }
        let names: BTreeSet<String> = request.resource_names.into_iter().collect();
        if names != self.names {
            self.names = names;
            self.sent = None;
        }
    }

    /// What to send now, if something changed. Secrets that do not exist yet are left out: the client waits for them.
    pub fn response(&mut self, find: impl Fn(&str) -> Option<Arc<Resource>>) -> Option<DiscoveryResponse> {
        let found: Vec<Arc<Resource>> = self.names.iter().filter_map(|name| find(name)).collect();
        if found.is_empty() {
            return None;
        }
        let versions: Vec<&str> = found.iter().map(|resource| &*resource.version).collect();
        let version = versions.join("-");
        if self.sent.as_ref() == Some(&version) {
            return None;
        }
        self.sent = Some(version.clone());
        self.nonce += 1;
        Some(DiscoveryResponse {
            version_info: version,
            resources: found.iter().map(|resource| resource.any.clone()).collect(),
            type_url: ResourceType::Secret.type_url().to_owned(),
            nonce: self.nonce.to_string(),
            ..DiscoveryResponse::default()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sds::{Secret, resource};

    fn find(content: &'static str) -> impl Fn(&str) -> Option<Arc<Resource>> {
        move |name| (name != "absent").then(|| resource(name, Secret::Roots(content.into())))
    }

    fn request(names: &[&str], nonce: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: nonce.to_owned(),
            ..DiscoveryRequest::default()
        }
    }

    #[test]
    fn an_ack_is_not_answered_and_a_change_is() {
        let mut state = SotwState::default();
        state.request(request(&["ROOTCA"], ""));
        let first = state.response(find("one")).unwrap();
        assert_eq!(first.resources.len(), 1);
        state.request(request(&["ROOTCA"], &first.nonce));
        assert_eq!(state.response(find("one")), None);
        let second = state.response(find("two")).unwrap();
        assert_ne!(second.version_info, first.version_info);
        assert_ne!(second.nonce, first.nonce);
    }

    #[test]
    fn a_stale_nonce_changes_nothing() {
        let mut state = SotwState::default();
        state.request(request(&["a"], ""));
        let first = state.response(find("one")).unwrap();
        state.response(find("two")).unwrap();
        state.request(request(&["a", "b"], &first.nonce));
        assert_eq!(state.response(find("two")), None);
    }

    #[test]
    fn a_secret_that_does_not_exist_yet_is_waited_for() {
        let mut state = SotwState::default();
        state.request(request(&["absent"], ""));
        assert_eq!(state.response(find("one")), None);
        state.request(request(&["absent", "default"], ""));
        assert_eq!(state.response(find("one")).unwrap().resources.len(), 1);
        let all = state.response(|name| Some(resource(name, Secret::Roots("one".into())))).unwrap();
        assert_eq!(all.resources.len(), 2);
    }
}
