//! The gRPC side of the client: connects, carries requests and responses, and starts over when the connection is lost.

use std::{error::Error, future::Future, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status};

use super::{ClientOptions, Command, Event, Reply, Update, state::ClientState};
use crate::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};

/// Nobody receives events any more.
struct ReceiverGone;

/// Runs a client until its receiver is dropped.
pub(super) async fn run(
    options: ClientOptions,
    sender: mpsc::UnboundedSender<Command>,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
) {
    let state = ClientState::new(options.node.to_envoy());
    let waits = Waits::new(options.first_wait, options.longest_wait);
    let mut connection = Connection { options, state, sender, commands, events, requests: None, waits };
    // The only way out of the loop.
    let ReceiverGone = connection.run().await;
}

struct Connection {
    options: ClientOptions,
    state: ClientState,
    /// Goes into each reply.
    sender: mpsc::UnboundedSender<Command>,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
    /// The way out of the current stream. Unbounded, for a full one would have to block reading; what goes in is small.
    requests: Option<mpsc::UnboundedSender<DeltaDiscoveryRequest>>,
    waits: Waits,
}

impl Connection {
    async fn run(&mut self) -> ReceiverGone {
        loop {
            let result = async {
                while self.state.is_idle() {
                    self.command().await?;
                }
                let error = self.session().await?;
                self.requests = None;
                self.state.disconnected();
                self.deliver(Event::Disconnected { error }).await?;
                let wait = self.waits.next();
                self.attend(tokio::time::sleep(wait)).await
            };
            if let Err(gone) = result.await {
                return gone;
            }
        }
    }

    /// One connection from its first request to its end; the text says why it ended.
    async fn session(&mut self) -> Result<String, ReceiverGone> {
        let (requests, outgoing) = mpsc::unbounded_channel();
        self.requests = Some(requests);
        self.state.connected();
        self.flush();
        let mut client = AggregatedDiscoveryServiceClient::new(self.options.channel.clone())
            .max_decoding_message_size(self.options.max_message);
        let call = async move { client.delta_aggregated_resources(UnboundedReceiverStream::new(outgoing)).await };
        let mut responses = match self.attend(call).await? {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(describe(&status)),
        };
        self.deliver(Event::Connected).await?;
        loop {
            match self.attend(responses.message()).await? {
                Ok(Some(response)) => self.received(response).await?,
                Ok(None) => return Ok("the control plane closed the stream".to_owned()),
                Err(status) => return Ok(describe(&status)),
            }
        }
    }

    async fn received(&mut self, response: DeltaDiscoveryResponse) -> Result<(), ReceiverGone> {
        self.waits.reset();
        let delivery = self.state.received(response);
        self.flush();
        let Some((kind, id, delivery)) = delivery else { return Ok(()) };
        let received = delivery.resources.iter().map(|received| received.name.to_string());
        let names = received.chain(delivery.removed.iter().cloned()).collect();
        let reply = Reply { kind, id, names, commands: Some(self.sender.clone()) };
        self.deliver(Event::Update(Update {
            kind,
            resources: delivery.resources,
            removed: delivery.removed,
            refused: delivery.refused,
            reply,
        }))
        .await
    }

    async fn deliver(&mut self, event: Event) -> Result<(), ReceiverGone> {
        let events = self.events.clone();
        self.attend(async move { events.send(event).await }).await?.map_err(|_| ReceiverGone)
    }

    /// Waits for something while commands are taken.
    async fn attend<F: Future>(&mut self, future: F) -> Result<F::Output, ReceiverGone> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                taken = self.command() => taken?,
            }
        }
    }

    async fn command(&mut self) -> Result<(), ReceiverGone> {
        let command = tokio::select! {
            command = self.commands.recv() => command.ok_or(ReceiverGone)?,
            () = self.events.closed() => return Err(ReceiverGone),
        };
        match command {
            Command::Subscribe(kind, names) => self.state.subscribe(kind, names),
            Command::Unsubscribe(kind, names) => self.state.unsubscribe(kind, names),
            Command::Answer { kind, id, refused } => self.state.answered(kind, id, refused),
        }
        self.flush();
        Ok(())
    }

    /// Sends what the state machine has to say.
    fn flush(&mut self) {
        let Some(requests) = &self.requests else { return };
        while let Some(request) = self.state.request() {
            // Fails only if the stream is gone; everything is asked for again on the next one.
            drop(requests.send(request));
        }
    }
}

/// The waits between tries: doubling, and shortened at random so that proxies do not come back all at once.
#[derive(Debug)]
struct Waits {
    first: Duration,
    longest: Duration,
    current: Duration,
}

impl Waits {
    fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, current: first }
    }

    fn next(&mut self) -> Duration {
        let wait = self.current.mul_f64(0.5 + 0.5 * fastrand::f64());
        self.current = (self.current * 2).min(self.longest);
        wait
    }

    fn reset(&mut self) {
        self.current = self.first;
    }
}

/// Why a stream ended, for an operator: what happened and every cause that is known.
fn describe(status: &Status) -> String {
    let what = match status.code() {
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument => {
            "the control plane refused this proxy"
        }
        Code::Unimplemented => "the control plane does not speak delta ADS",
        Code::OutOfRange | Code::ResourceExhausted => "a limit was exceeded",
        Code::Internal | Code::DataLoss => "the answer of the control plane cannot be read",
        _ => "no connection to the control plane",
    };
    let mut text = format!("{what}: {}", status.message());
    let mut source = status.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over() {
        let mut waits = Waits::new(Duration::from_millis(500), Duration::from_secs(10));
        let within = |wait: Duration, full: u64| {
            assert!(
                (full / 2..=full).contains(&u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
                "{wait:?} of {full} ms"
            );
        };
        for full in [500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            within(waits.next(), full);
        }
        waits.reset();
        within(waits.next(), 500);
    }

    #[test]
    fn the_operator_learns_what_happened_and_why() {
        let refused = describe(&Status::permission_denied("node says ns/a, certificate says ns/b"));
        assert_eq!(refused, "the control plane refused this proxy: node says ns/a, certificate says ns/b");
        let cause = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused (os error 111)");
        let unreachable = describe(&Status::from_error(Box::new(cause)));
        assert!(unreachable.contains("connection refused (os error 111)"), "{unreachable}");
    }
}
