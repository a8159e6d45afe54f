//! Writes the status of one object: reads it, puts our part in, and writes it back if nobody changed it meanwhile.

use super::agenda::Task;
use super::api_server::{Failure, get, patch};
use super::condition::now;
use super::pace::Pace;
use kube::Client;

/// How often an object that others change at the same time is read again.
const TRIES: usize = 5;

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was written.
    Written,
    /// It said all that before, or is gone.
    Nothing,
}

/// Does one task.
pub(super) async fn write(client: &Client, pace: &Pace, task: &mut Task) -> Result<Done, Failure> {
    for _ in 0..TRIES {
        let current = match task.current.take() {
            Some(current) => current,
            None => match get(client, task.kind, &task.object).await {
                Err(Failure::Gone) => return Ok(Done::Nothing),
                answer => answer?,
            },
        };
        // Another object has the name now; its own status is to come.
        if task.uid.as_deref().is_some_and(|uid| uid != current.metadata.uid) {
            return Ok(Done::Nothing);
        }
        let Some(status) = task.wanted.patch(&current.status, &now()) else { return Ok(Done::Nothing) };
        pace.take().await;
        match patch(client, task.kind, &current, &status).await {
            Ok(()) => return Ok(Done::Written),
            Err(Failure::Gone) => return Ok(Done::Nothing),
            Err(Failure::Conflict) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::Refused(format!("others changed it {TRIES} times while it was being written")))
}
