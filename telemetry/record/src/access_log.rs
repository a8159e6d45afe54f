//! One line per request or connection, in Istio's default text format. What a peer sent is escaped and
//! cut, so that no header can forge a line, confuse a terminal or fill a disk.

mod escape;
mod queue;

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

use crate::flags::ResponseFlags;
use escape::{push_quoted, push_word};
pub use queue::AccessLog;

/// What one line says. `None` reads `-`.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When the request, or the connection, began.
    pub start_time: SystemTime,
    /// Request method.
    pub method: Option<&'a str>,
    /// Path with query as the client sent it, before any rewrite.
    pub path: Option<&'a [u8]>,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: Option<&'a str>,
    /// HTTP status, 0 when there was no response.
    pub response_code: u16,
    /// Why it ended as it did.
    pub response_flags: ResponseFlags,
    /// Envoy's details of the response code, such as `via_upstream`.
    pub response_code_details: Option<&'a str>,
    /// Why the connection was closed from this side.
    pub connection_termination_details: Option<&'a str>,
    /// Why no connection to the upstream could be made.
    pub upstream_transport_failure_reason: Option<&'a str>,
    /// Body bytes from the downstream; on TCP all bytes.
    pub bytes_received: u64,
    /// Body bytes to the downstream; on TCP all bytes.
    pub bytes_sent: u64,
    /// From the start to the last byte sent.
    pub duration: Duration,
    /// Response header `x-envoy-upstream-service-time`, in milliseconds.
    pub upstream_service_time: Option<&'a [u8]>,
    /// Request header `x-forwarded-for`.
    pub x_forwarded_for: Option<&'a [u8]>,
    /// Request header `user-agent`.
    pub user_agent: Option<&'a [u8]>,
    /// Request header `x-request-id`.
    pub request_id: Option<&'a [u8]>,
    /// Host header or `:authority`.
    pub authority: Option<&'a [u8]>,
    /// Endpoint that was chosen.
    pub upstream_host: Option<SocketAddr>,
    /// Name of the cluster that was chosen.
    pub upstream_cluster: Option<&'a str>,
    /// Own address of the upstream connection.
    pub upstream_local_address: Option<SocketAddr>,
    /// Address that the client meant to reach.
    pub downstream_local_address: Option<SocketAddr>,
    /// Address of the client.
    pub downstream_remote_address: Option<SocketAddr>,
    /// SNI of the downstream's TLS.
    pub requested_server_name: Option<&'a str>,
    /// Name of the route that matched.
    pub route_name: Option<&'a str>,
}

impl Entry<'_> {
    /// An entry that begins at `start_time` and says nothing else yet.
    pub fn new(start_time: SystemTime) -> Self {
        Self {
            start_time,
            method: None,
            path: None,
            protocol: None,
            response_code: 0,
            response_flags: ResponseFlags::NONE,
            response_code_details: None,
            connection_termination_details: None,
            upstream_transport_failure_reason: None,
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            upstream_service_time: None,
            x_forwarded_for: None,
            user_agent: None,
            request_id: None,
            authority: None,
            upstream_host: None,
            upstream_cluster: None,
            upstream_local_address: None,
            downstream_local_address: None,
            downstream_remote_address: None,
            requested_server_name: None,
            route_name: None,
        }
    }

    /// The line, with its line feed.
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(512);
        self.write_request(&mut line);
        self.write_outcome(&mut line);
        self.write_identity(&mut line);
        self.write_connections(&mut line);
        line
    }

    fn write_request(&self, line: &mut String) {
        push_time(line, self.start_time);
        line.push_str(" \"");
        push_word(line, self.method.map(str::as_bytes));
        line.push(' ');
        push_quoted(line, self.path);
        line.push(' ');
        push_word(line, self.protocol.map(str::as_bytes));
        line.push('"');
    }

    fn write_outcome(&self, line: &mut String) {
        push_display(line, Some(self.response_code));
        push_display(line, Some(self.response_flags));
        push_spaced_word(line, self.response_code_details);
        push_spaced_word(line, self.connection_termination_details);
        push_spaced_quoted(line, self.upstream_transport_failure_reason.map(str::as_bytes));
        push_display(line, Some(self.bytes_received));
        push_display(line, Some(self.bytes_sent));
        push_display(line, Some(self.duration.as_millis()));
        line.push(' ');
        push_word(line, self.upstream_service_time);
    }

    fn write_identity(&self, line: &mut String) {
        push_spaced_quoted(line, self.x_forwarded_for);
        push_spaced_quoted(line, self.user_agent);
        push_spaced_quoted(line, self.request_id);
        push_spaced_quoted(line, self.authority);
    }

    fn write_connections(&self, line: &mut String) {
        line.push_str(" \"");
        match self.upstream_host {
            Some(host) => push_formatted(line, host),
            None => line.push('-'),
        }
        line.push('"');
        push_spaced_word(line, self.upstream_cluster);
        push_display(line, self.upstream_local_address);
        push_display(line, self.downstream_local_address);
        push_display(line, self.downstream_remote_address);
        push_spaced_word(line, self.requested_server_name);
        push_spaced_word(line, self.route_name);
        line.push('\n');
    }
}

/// Envoy's `%START_TIME%`: UTC with milliseconds.
fn push_time(line: &mut String, time: SystemTime) {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second, milli) = (time.hour(), time.minute(), time.second(), time.millisecond());
    push_formatted(line, format_args!("[{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z]"));
}

fn push_display(line: &mut String, value: Option<impl Display>) {
    line.push(' ');
    match value {
        Some(value) => push_formatted(line, value),
        None => line.push('-'),
    }
}

fn push_formatted(line: &mut String, value: impl Display) {
    // Writing to a string cannot fail.
    let _ = write!(line, "{value}");
}

fn push_spaced_word(line: &mut String, value: Option<&str>) {
    line.push(' ');
    push_word(line, value.map(str::as_bytes));
}

fn push_spaced_quoted(line: &mut String, value: Option<&[u8]>) {
    line.push_str(" \"");
    push_quoted(line, value);
    line.push('"');
}
