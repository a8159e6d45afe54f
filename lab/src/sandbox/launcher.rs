//! The launcher: listeners on the host's loopback, the lifeline to init, and the order of leaving.

use super::refusal::SandboxError;
use super::{PUBLISHED, ROLE, enter, relay};
use std::io::{PipeWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// How long the sandbox may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many ports are tried when the wanted one is taken.
const TRIES: u16 = 50;

pub(super) fn launch(ports: &[u16]) -> Result<ExitCode, SandboxError> {
    crate::tools::check()?;
    let listeners = ports.iter().map(|port| listen(*port)).collect::<Result<Vec<_>, _>>()?;
    enter::enter()?;
    // A runtime on this thread alone: after the step above the kernel refuses new threads.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("runtime"))?;
    runtime.block_on(supervise(ports, listeners))
}

fn listen(port: u16) -> Result<TcpListener, SandboxError> {
    let last = port.saturating_add(TRIES);
    let listener = (port..=last).find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    listener.ok_or(SandboxError::NoFreePort { first: port, last })
}

async fn supervise(ports: &[u16], listeners: Vec<TcpListener>) -> Result<ExitCode, SandboxError> {
    let mut ended = signal(SignalKind::child()).map_err(io("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io("signals"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(io("signals"))?;
    let (mut init, mut lifeline) = start_init(&listeners)?;
    for (port, listener) in ports.iter().zip(listeners) {
        let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        tokio::spawn(relay(listener, move || async move { tokio::net::TcpStream::connect(inside).await }));
    }
    let mut deadline = None;
    loop {
        tokio::select! {
            _ = ended.recv() => {
                if let Some(status) = init.try_wait().map_err(io("wait for init"))? {
                    return Ok(exit_code(status));
                }
                continue;
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
        }
        // The first wish to stop is passed on; the second, or the end of patience, kills.
        if deadline.is_some() || lifeline.write_all(b"s").is_err() {
            let _ = init.kill();
        }
        deadline = Some(Instant::now() + PATIENCE);
    }
}

fn start_init(listeners: &[TcpListener]) -> Result<(Child, PipeWriter), SandboxError> {
    let published: Vec<String> =
        listeners.iter().filter_map(|one| one.local_addr().ok()).map(|address| address.to_string()).collect();
    let (reader, lifeline) = std::io::pipe().map_err(io("pipe"))?;
    let init = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_else(|| "meltemi".into()))
        .args(std::env::args_os().skip(1))
        .env(ROLE, "init")
        .env(PUBLISHED, published.join(","))
        .stdin(reader)
        // Away from the terminal's group: Ctrl-C comes to the launcher alone, which passes it on in order.
        .process_group(0)
        .spawn()
        .map_err(io("start init"))?;
    Ok((init, lifeline))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn io(step: &'static str) -> impl Fn(std::io::Error) -> SandboxError {
    move |source| SandboxError::Io { step, source }
}
