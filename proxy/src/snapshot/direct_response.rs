//! `DirectResponseAction`.

use bytes::Bytes;
use xds::core::DataSource;
use xds::core::data_source::Specifier;
use xds::route::DirectResponseAction;

use super::field;
use super::reason::{Reason, Under, none_set};
use crate::http::direct_response::DirectResponse;

/// Compiles an answer whose body may have so many bytes (`max_direct_response_body_size_bytes`).
pub(super) fn compile(action: &DirectResponseAction, max_body: u32) -> Result<DirectResponse, Reason> {
    none_set(&[("body_format", action.body_format.is_some())])?;
    let body = action.body.as_ref().map(|source| body(source, max_body)).transpose().under("body")?;
    Ok(DirectResponse { status: field::status(action.status).under("status")?, body: body.unwrap_or_default() })
}

fn body(source: &DataSource, max: u32) -> Result<Bytes, Reason> {
    let body = match &source.specifier {
        Some(Specifier::InlineString(text)) => text.as_bytes(),
        Some(Specifier::InlineBytes(bytes)) => bytes,
        Some(Specifier::Filename(_)) => return Err(Reason::unsupported("filename")),
        Some(Specifier::EnvironmentVariable(_)) => return Err(Reason::unsupported("environment_variable")),
        None => return Ok(Bytes::new()),
    };
    if body.len() > max as usize {
        return Err(Reason::new(format!("{} bytes; max_direct_response_body_size_bytes allows {max}", body.len())));
    }
    Ok(Bytes::copy_from_slice(body))
}
