//! How much the webhooks take on at once: so many bytes of bodies, each read within a time. What finds no room is told
//! so; the API server's client tries again.

use super::review::Problem;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Largest body, in bytes. The API server takes objects of 3 MiB; the review of an update holds two.
const MAX_BODY: usize = 7 * 1024 * 1024;
/// Bytes behind the limit that are read and thrown away, so that the sender gets to see the answer.
const DISCARDED: usize = 32 * 1024 * 1024;
/// Room is given out in pieces of so many bytes.
const PIECE: usize = 64 * 1024;
/// Pieces altogether: 8 MiB of bodies, which as hostile JSON become at most some 130 MiB.
const PIECES: usize = 128;
const WAIT_FOR_ROOM: Duration = Duration::from_secs(2);
const READ_BODY: Duration = Duration::from_secs(5);

pub(super) struct Load(Arc<Semaphore>);

impl Default for Load {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PIECES)))
    }
}

impl Load {
    /// The body of a request, and its room, which must be held until the answer is made.
    pub(super) async fn read(&self, request: Request) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok()).unwrap_or(MAX_BODY);
        let room = self.room(length.min(MAX_BODY)).await?;
        let late = |_| {
            let message = format!("the body did not arrive within {READ_BODY:?}");
            Problem::new(StatusCode::REQUEST_TIMEOUT, message)
        };
        let body = timeout(READ_BODY, body(request, length)).await.map_err(late)??;
        Ok((body, room))
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX).max(1);
        let free = self.0.clone().acquire_many_owned(pieces);
        match timeout(WAIT_FOR_ROOM, free).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) | Err(_) => {
                let message = "the webhook has too many reviews under way; try again, or run more replicas";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message))
            }
        }
    }
}

async fn body(request: Request, announced: usize) -> Result<Bytes, Problem> {
    let mut read = Vec::with_capacity(announced.min(PIECE));
    let mut total = 0;
    let mut chunks = request.into_body().into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body broke off after {total} bytes: {error}"))
        })?;
        total += chunk.len();
        if total <= MAX_BODY {
            read.extend_from_slice(&chunk);
        } else {
            read = Vec::new();
        }
        if total > MAX_BODY + DISCARDED {
            break;
        }
    }
    if total > MAX_BODY {
        let message = format!("the body has more than {MAX_BODY} bytes, and no object of the API server is that large");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(read.into())
}
