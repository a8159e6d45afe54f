//! `mirror`: copies of requests whose answers nobody waits for (VirtualService `http[].mirrors`).

use xds::route::{RouteAction, route_action::RequestMirrorPolicy};

use super::view::View;
use super::wrappers::{boolean, runtime_fraction};
use crate::model::{Mirror, Percentage};

/// Adds the copies. They keep the Host of the original (no `-shadow` suffix) and are not traced.
pub(super) fn apply(view: &View<'_>, mirrors: &[Mirror], port: u16, action: &mut RouteAction) {
    let wanted = mirrors.iter().filter(|mirror| mirror.percentage > Percentage(0));
    action.request_mirror_policies = wanted
        .map(|mirror| RequestMirrorPolicy {
            cluster: view.cluster_of(&mirror.destination, port).to_string(),
            runtime_fraction: runtime_fraction(mirror.percentage),
            trace_sampled: boolean(false),
            disable_shadow_host_suffix_append: true,
            ..RequestMirrorPolicy::default()
        })
        .collect();
}
