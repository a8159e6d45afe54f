//! `transport_socket`: plaintext or TLS.

use xds::core::{TransportSocket, transport_socket::ConfigType};
use xds::tls::{DownstreamTlsContext, UpstreamTlsContext};
use xds::unpack;

use super::reason::{Reason, type_name};
use super::tls;
use crate::model::{DownstreamTls, Transport};

const RAW: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/// How connections to upstreams are made.
pub(super) fn upstream(socket: &TransportSocket) -> Result<Transport, Reason> {
    match &socket.config_type {
        Some(ConfigType::TypedConfig(any)) => match type_name(any) {
            RAW => Ok(Transport::Raw),
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" => {
                Ok(Transport::Tls(tls::upstream(&unpack::<UpstreamTlsContext>(any)?)?.into()))
            }
            _ => Err(Reason::unsupported_type(any)),
        },
        None if is_raw(socket) => Ok(Transport::Raw),
        None => Err(Reason::unsupported(&socket.name)),
    }
}

/// What connections of downstreams are decrypted with; `None`: they are plaintext.
pub(super) fn downstream(socket: &TransportSocket) -> Result<Option<DownstreamTls>, Reason> {
    match &socket.config_type {
        Some(ConfigType::TypedConfig(any)) => match type_name(any) {
            RAW => Ok(None),
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" => {
                tls::downstream(&unpack::<DownstreamTlsContext>(any)?).map(Some)
            }
            _ => Err(Reason::unsupported_type(any)),
        },
        None if is_raw(socket) => Ok(None),
        None => Err(Reason::unsupported(&socket.name)),
    }
}

fn is_raw(socket: &TransportSocket) -> bool {
    socket.name == "envoy.transport_sockets.raw_buffer"
}
