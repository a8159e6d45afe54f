//! Ports, percentages and status codes.

use super::Check;
use crate::api::PercentSpec;
use crate::model::Percentage;
use crate::yaml::FieldPath;

impl Check<'_> {
    /// A port number from 1 to 65535.
    pub(super) fn port(&mut self, at: &FieldPath, number: u32) -> Option<u16> {
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        if port.is_none() {
            self.problems.error(at, format!("{number} is not a port; use 1 to 65535"));
        }
        port
    }

    /// The same where the API's type is signed.
    pub(super) fn signed_port(&mut self, at: &FieldPath, number: i32) -> Option<u16> {
        match u32::try_from(number) {
            Ok(number) => self.port(at, number),
            Err(_) => {
                self.problems.error(at, format!("{number} is not a port; use 1 to 65535"));
                None
            }
        }
    }

    /// A percentage from 0 to 100.
    pub(super) fn percentage(&mut self, at: &FieldPath, spec: &PercentSpec) -> Option<Percentage> {
        let in_range = (0.0..=100.0).contains(&spec.value);
        if !in_range {
            let message = format!("{} is not a percentage; use 0 to 100", spec.value);
            self.problems.error(&at.key("value"), message);
        }
        in_range.then(|| Percentage::from_percent(spec.value))
    }

    /// An HTTP status from 200 to 599.
    pub(super) fn status(&mut self, at: &FieldPath, status: i64) -> Option<u16> {
        let code = u16::try_from(status).ok().filter(|code| (200..=599).contains(code));
        if code.is_none() {
            self.problems.error(at, format!("{status} is not an HTTP status; use 200 to 599"));
        }
        code
    }
}
