//! `fault`: injected delays and errors (VirtualService `http[].fault`).

use xds::fault::{FaultAbort, HttpFault, fault_abort::ErrorType};
use xds::fault_common::{FaultDelay, fault_delay::FaultDelaySecifier};
use xds::google::Any;
use xds::pack;

use super::wrappers::fraction;
use crate::model::{Abort, AbortStatus, Delay, Fault, Percentage};

/// The name of the filter, which is also the key of its settings on a route.
pub(super) const FILTER: &str = "envoy.filters.http.fault";

/// The filter's settings for a route; `None` when no request is ever hit.
pub(super) fn config(fault: &Fault) -> Option<Any> {
    let delay = fault.delay.as_ref().filter(|delay| delay.percentage > Percentage(0)).map(delay_of);
    let abort = fault.abort.as_ref().filter(|abort| abort.percentage > Percentage(0)).map(abort_of);
    if delay.is_none() && abort.is_none() {
        return None;
    }
    Some(pack(&HttpFault { delay, abort, ..HttpFault::default() }))
}

fn delay_of(delay: &Delay) -> FaultDelay {
    FaultDelay {
        percentage: fraction(delay.percentage),
        fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(xds::from_duration(delay.fixed))),
    }
}

fn abort_of(abort: &Abort) -> FaultAbort {
    let error = match abort.status {
        AbortStatus::Http(status) => ErrorType::HttpStatus(u32::from(status)),
        AbortStatus::Grpc(status) => ErrorType::GrpcStatus(status),
    };
    FaultAbort { percentage: fraction(abort.percentage), error_type: Some(error), ..FaultAbort::default() }
}
