//! `HTTPFault`.

use xds::fault::fault_abort::ErrorType;
use xds::fault::{FaultAbort, HttpFault};
use xds::fault_common::FaultDelay;
use xds::fault_common::fault_delay::FaultDelaySecifier;

use super::reason::{Reason, Under, none_set};
use super::{field, matchers};
use crate::http::fault::{Abort, Fault};
use crate::http::fraction::Fraction;

/// The highest gRPC status.
const MAX_GRPC_STATUS: u32 = 16;

/// Compiles a fault. Names of runtime values have no effect: this proxy has no such runtime.
pub(super) fn compile(fault: &HttpFault) -> Result<Fault, Reason> {
    none_set(&[
        ("upstream_cluster", !fault.upstream_cluster.is_empty()),
        ("max_active_faults", fault.max_active_faults.is_some()),
        ("downstream_nodes", !fault.downstream_nodes.is_empty()),
        ("response_rate_limit", fault.response_rate_limit.is_some()),
    ])?;
    Ok(Fault {
        delay: fault.delay.as_ref().map(delay).transpose().under("delay")?,
        abort: fault.abort.as_ref().map(abort).transpose().under("abort")?,
        headers: matchers::headers("headers", &fault.headers)?,
    })
}

fn delay(delay: &FaultDelay) -> Result<(std::time::Duration, Fraction), Reason> {
    let share = share(delay.percentage.as_ref())?;
    match &delay.fault_delay_secifier {
        Some(FaultDelaySecifier::FixedDelay(value)) => match field::duration("fixed_delay", Some(value))? {
            Some(value) if !value.is_zero() => Ok((value, share)),
            _ => Err(Reason::at("fixed_delay", "must be more than zero")),
        },
        Some(FaultDelaySecifier::HeaderDelay(_)) => Err(Reason::unsupported("header_delay")),
        None => Err(Reason::at("fixed_delay", "is missing")),
    }
}

fn abort(abort: &FaultAbort) -> Result<(Abort, Fraction), Reason> {
    none_set(&[("response_body", !abort.response_body.is_empty())])?;
    let share = share(abort.percentage.as_ref())?;
    match &abort.error_type {
        Some(ErrorType::HttpStatus(status)) => Ok((Abort::Http(field::status(*status).under("http_status")?), share)),
        Some(ErrorType::GrpcStatus(status)) => match u16::try_from(*status) {
            Ok(grpc) if *status <= MAX_GRPC_STATUS => Ok((Abort::Grpc(grpc), share)),
            _ => {
                Err(Reason::at("grpc_status", format!("{status} is no gRPC status; the highest is {MAX_GRPC_STATUS}")))
            }
        },
        Some(ErrorType::HeaderAbort(_)) => Err(Reason::unsupported("header_abort")),
        None => Err(Reason::at("http_status", "is missing")),
    }
}

/// Without a percentage nothing is hit, as with Envoy.
fn share(value: Option<&xds::typ::FractionalPercent>) -> Result<Fraction, Reason> {
    value.map_or(Ok(Fraction::new(0, 100)), field::fraction).under("percentage")
}
