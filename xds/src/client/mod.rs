//! The delta ADS client: says what is needed, hands over what comes, tells the control plane what became of it, and
//! reconnects for ever, with what is held told to the server so that it comes only once.

mod connection;
mod inspect;
mod kind;
mod state;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tonic::transport::Channel;

use crate::{ResourceType, UnpackError, node::NodeInfo};

/// How to reach a control plane and who is asking.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// What the data plane says about itself.
    pub node: NodeInfo,
    /// The way to the control plane. A dead peer is found by its HTTP/2 keepalive, so it should have one.
    pub channel: Channel,
    /// The wait before the second try. Doubles with each failed one; each wait is shortened by up to half at random.
    pub first_wait: Duration,
    /// The longest wait between two tries.
    pub longest_wait: Duration,
    /// The largest response that is read, in bytes.
    pub max_message: usize,
}

impl ClientOptions {
    /// The defaults: waits of 0.5 s up to 10 s, responses of at most 16 MiB.
    pub fn new(node: NodeInfo, channel: Channel) -> Self {
        Self {
            node,
            channel,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(10),
            max_message: 16 << 20,
        }
    }
}

/// What the client has to tell. Events come in order.
#[derive(Debug)]
pub enum Event {
    /// The control plane answered.
    Connected,
    /// The connection is lost, or a try to make one failed. The client tries again by itself.
    Disconnected {
        /// The cause, for the operator.
        error: String,
    },
    /// Resources came or went.
    Update(Update),
}

/// What one response of the control plane changes.
#[derive(Debug)]
pub struct Update {
    /// The kind of all its resources.
    pub kind: ResourceType,
    /// New or changed resources, each name once.
    pub resources: Vec<Received>,
    /// Names that are gone, or that were asked for and do not exist.
    pub removed: Vec<String>,
    /// Names that were refused already, with the reason: what came under them is no resource of this kind.
    pub refused: Vec<(String, String)>,
    /// To be answered once the update is in force or refused.
    pub reply: Reply,
}

/// One resource as it came: its name is what was asked for, its type is right, its content is not decoded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The resource's name.
    pub name: Arc<str>,
    /// The control plane's version of it, opaque.
    pub version: Arc<str>,
    /// The encoded message.
    pub value: Bytes,
    /// The message's type.
    pub type_url: &'static str,
}

impl Received {
    /// Decodes the message.
    pub fn decode<M: prost::Message + prost::Name + Default>(&self) -> Result<M, UnpackError> {
        M::decode(self.value.clone()).map_err(|source| UnpackError::Malformed { expected: M::full_name(), source })
    }
}

/// The duty to say what became of an update. Dropped without an answer it refuses the update.
#[derive(Debug)]
#[must_use = "an update that is not answered counts as refused"]
pub struct Reply {
    kind: ResourceType,
    id: u64,
    /// What to refuse if the receiver goes away.
    names: Vec<String>,
    commands: Option<mpsc::UnboundedSender<Command>>,
}

impl Reply {
    /// The whole update is in force.
    pub fn accept(mut self) {
        self.answer(Vec::new());
    }

    /// These resources are refused, each with the reason; what was held of them stays. The others are in force.
    pub fn reject(mut self, refused: Vec<(String, String)>) {
        self.answer(refused);
    }

    fn answer(&mut self, refused: Vec<(String, String)>) {
        if let Some(commands) = self.commands.take() {
            // Fails only if the client is gone, and then nobody waits for the answer.
            drop(commands.send(Command::Answer { kind: self.kind, id: self.id, refused }));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let gone = |name| (name, "the receiver went away".to_owned());
        let refused = std::mem::take(&mut self.names).into_iter().map(gone).collect();
        self.answer(refused);
    }
}

/// What the handle and the replies tell the client's task.
#[derive(Debug)]
enum Command {
    Subscribe(ResourceType, Vec<Arc<str>>),
    Unsubscribe(ResourceType, Vec<Arc<str>>),
    Answer { kind: ResourceType, id: u64, refused: Vec<(String, String)> },
}

/// Tells the client what is needed. Works before the connection is up; does nothing once the receiver is dropped.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    /// Asks for resources by name, and for their changes from then on. Names already asked for are left alone.
    pub fn subscribe<N: Into<Arc<str>>>(&self, kind: ResourceType, names: impl IntoIterator<Item = N>) {
        self.send(Command::Subscribe(kind, names.into_iter().map(Into::into).collect()));
    }

    /// Gives names up. What is held of them is forgotten without an update, unless `*` is subscribed too.
    pub fn unsubscribe<N: Into<Arc<str>>>(&self, kind: ResourceType, names: impl IntoIterator<Item = N>) {
        self.send(Command::Unsubscribe(kind, names.into_iter().map(Into::into).collect()));
    }

    /// Asks for `*`: all that the control plane thinks this data plane needs.
    pub fn subscribe_all(&self, kind: ResourceType) {
        self.subscribe(kind, [crate::server::WILDCARD]);
    }

    fn send(&self, command: Command) {
        drop(self.commands.send(command));
    }
}

/// Starts a client on the current tokio runtime. It connects once something is asked for, and ends when the receiver
/// is dropped.
pub fn start(options: ClientOptions) -> (Handle, mpsc::Receiver<Event>) {
    let (commands, taken) = mpsc::unbounded_channel();
    let (events, receiver) = mpsc::channel(16);
    tokio::spawn(connection::run(options, commands.clone(), taken, events));
    (Handle { commands }, receiver)
}
