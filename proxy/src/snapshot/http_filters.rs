//! The HTTP filters of a connection manager. Faults and CORS become policies of routes; the router is the proxy itself.
//! Any other filter decides something that this proxy would not: it is refused, unless the control plane says that the
//! listener may do without it.

use xds::fault::HttpFault;
use xds::google::Any;
use xds::hcm::{HttpFilter, http_filter::ConfigType};
use xds::router::Router;
use xds::unpack;

use super::fault;
use super::per_filter::Filters;
use super::reason::{Reason, Under, none_set, type_name};
use crate::http::fault::Fault;

/// What the filters come to.
pub(super) struct HttpFilters {
    pub(super) present: Filters,
    /// The fault filter's own settings, when they do something.
    pub(super) default_fault: Option<Fault>,
    pub(super) suppress_envoy_headers: bool,
}

/// Filters that count and label, and Istio's choice of ALPN names, which clusters here make by themselves.
pub(super) fn is_harmless(type_name: &str) -> bool {
    matches!(
        type_name,
        "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
            | "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig"
            | "io.istio.http.peer_metadata.Config"
            | "envoy.tcp.metadataexchange.config.MetadataExchange"
            | "stats.PluginConfig"
    )
}

/// Compiles the list, whose last filter has to be the router.
pub(super) fn compile(filters: &[HttpFilter]) -> Result<HttpFilters, Reason> {
    let mut compiled = HttpFilters {
        present: Filters { fault: false, cors: false },
        default_fault: None,
        suppress_envoy_headers: false,
    };
    let Some((last, others)) = filters.split_last() else { return Err(Reason::at("http_filters", "has no router")) };
    for (index, filter) in others.iter().enumerate() {
        compiled.add(filter).under(format_args!("http_filters[{index}]"))?;
    }
    compiled.router(last).under(format_args!("http_filters[{}]", others.len()))?;
    Ok(compiled)
}

impl HttpFilters {
    fn add(&mut self, filter: &HttpFilter) -> Result<(), Reason> {
        let any = match &filter.config_type {
            Some(ConfigType::TypedConfig(any)) => any,
            _ if filter.is_optional || filter.disabled || filter.name == "istio.stats" => return Ok(()),
            Some(ConfigType::ConfigDiscovery(_)) => return Err(Reason::unsupported("config_discovery")),
            None => return Err(Reason::at("typed_config", "is missing")),
        };
        match type_name(any) {
            "envoy.extensions.filters.http.fault.v3.HTTPFault" => {
                let own = fault::compile(&unpack::<HttpFault>(any)?)?;
                self.present.fault = true;
                self.default_fault =
                    Some(own).filter(|own| !filter.disabled && (own.delay.is_some() || own.abort.is_some()));
            }
            "envoy.extensions.filters.http.cors.v3.Cors" => self.present.cors = true,
            "envoy.extensions.filters.http.router.v3.Router" => {
                return Err(Reason::new("the router must be the last filter"));
            }
            name if is_harmless(name) || is_statistics(filter, any) => {}
            _ if filter.is_optional || filter.disabled => {}
            _ => return Err(Reason::unsupported_type(any)),
        }
        Ok(())
    }

    fn router(&mut self, filter: &HttpFilter) -> Result<(), Reason> {
        let router = match &filter.config_type {
            Some(ConfigType::TypedConfig(any)) if !filter.disabled => unpack::<Router>(any)?,
            _ => return Err(Reason::new("the last filter must be the router")),
        };
        none_set(&[
            ("strict_check_headers", !router.strict_check_headers.is_empty()),
            ("respect_expected_rq_timeout", router.respect_expected_rq_timeout),
            ("upstream_http_filters", !router.upstream_http_filters.is_empty()),
        ])?;
        self.suppress_envoy_headers = router.suppress_envoy_headers;
        Ok(())
    }
}

/// Istio's statistics come as an untyped struct.
fn is_statistics(filter: &HttpFilter, any: &Any) -> bool {
    filter.name == "istio.stats" && type_name(any).ends_with(".TypedStruct")
}
