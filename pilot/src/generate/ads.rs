//! "Over this same stream": where Envoy gets what a resource refers to.

use xds::core::{AggregatedConfigSource, ApiVersion, ConfigSource, config_source::ConfigSourceSpecifier};
use xds::google::Duration;

/// The aggregated stream; waiting for the first answer has no limit, for there is nothing to serve before.
pub(super) fn source() -> Option<ConfigSource> {
    Some(ConfigSource {
        initial_fetch_timeout: Some(Duration::default()),
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    })
}
