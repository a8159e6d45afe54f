//! `typed_per_filter_config`: what routes and virtual hosts say to the filters of the connection manager.

use std::collections::HashMap;

use xds::google::Any;
use xds::route::FilterConfig;
use xds::{cors::CorsPolicy, fault::HttpFault, unpack};

use super::http_filters::is_harmless;
use super::reason::{Reason, Under, type_name};
use super::{cors, fault};
use crate::http::cors::Cors;
use crate::http::fault::Fault;

/// Which filters the connection manager has: what a route says to one that is not there has no effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filters {
    pub(super) fault: bool,
    pub(super) cors: bool,
}

impl Filters {
    /// Routes that travel on their own do not know their connection manager.
    pub(super) const ALL: Self = Self { fault: true, cors: true };
}

/// What a level says to the filters that are known here. `Some(None)`: the filter is off.
#[derive(Debug, Default, Clone)]
pub(super) struct PerFilter {
    pub(super) fault: Option<Option<Fault>>,
    pub(super) cors: Option<Option<Cors>>,
}

impl PerFilter {
    /// Compiles the settings of one level.
    pub(super) fn compile(settings: &HashMap<String, Any>, filters: Filters) -> Result<Self, Reason> {
        let mut compiled = Self::default();
        // In order of the names, so that of two errors always the same one is told.
        let mut names: Vec<&String> = settings.keys().collect();
        names.sort();
        for name in names {
            if let Some(any) = settings.get(name) {
                compiled.add(name, any).under(format_args!("typed_per_filter_config[{name}]"))?;
            }
        }
        compiled.fault = compiled.fault.filter(|_| filters.fault);
        compiled.cors = compiled.cors.filter(|_| filters.cors);
        Ok(compiled)
    }

    fn add(&mut self, name: &str, any: &Any) -> Result<(), Reason> {
        if type_name(any) != "envoy.config.route.v3.FilterConfig" {
            return self.add_config(any, false);
        }
        let wrapper: FilterConfig = unpack(any)?;
        match &wrapper.config {
            _ if wrapper.disabled => self.disable(name, wrapper.is_optional),
            Some(config) => self.add_config(config, wrapper.is_optional).under("config"),
            None => Ok(()),
        }
    }

    fn disable(&mut self, name: &str, optional: bool) -> Result<(), Reason> {
        match name {
            "envoy.filters.http.fault" => self.fault = Some(None),
            "envoy.filters.http.cors" => self.cors = Some(None),
            "envoy.filters.http.router" if !optional => {
                return Err(Reason::at("disabled", "the router cannot be disabled"));
            }
            // No other filter that could be on is ever accepted.
            _ => {}
        }
        Ok(())
    }

    fn add_config(&mut self, any: &Any, optional: bool) -> Result<(), Reason> {
        match type_name(any) {
            "envoy.extensions.filters.http.fault.v3.HTTPFault" => {
                self.fault = Some(Some(fault::compile(&unpack::<HttpFault>(any)?)?));
            }
            "envoy.extensions.filters.http.cors.v3.CorsPolicy" => {
                self.cors = Some(Some(cors::compile(&unpack::<CorsPolicy>(any)?)?));
            }
            name if optional || is_harmless(name) => {}
            _ => return Err(Reason::unsupported_type(any)),
        }
        Ok(())
    }

    /// What holds when a more specific level does not say something else.
    pub(super) fn or(self, less_specific: &Self) -> Self {
        Self {
            fault: self.fault.or_else(|| less_specific.fault.clone()),
            cors: self.cors.or_else(|| less_specific.cors.clone()),
        }
    }
}
