//! Clients that connect and say nothing, or begin a handshake and do not finish it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{ENOUGH, MIB, POD, SLACK, Scene};
use crate::raw_tls::client_hello;
use crate::waiting::until;
use crate::{Outcome, ensure};

/// The type of a TLS record.
const HANDSHAKE: u8 = 0x16;

/// Makes room for so many connections in this process.
fn make_room(connections: u64) -> Outcome {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = connections + 1000;
    ensure!(hard >= wanted, "this test needs {wanted} open files (`ulimit -Hn`), and may have {hard}");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

pub fn silent() -> Outcome {
    let scene = Scene::start()?;
    let count = 10_000;
    make_room(count)?;
    let (held, open) = scene.unharmed("silent connections", || {
        let held = (0..count).map(|_| scene.attack(POD)).collect::<std::io::Result<Vec<TcpStream>>>()?;
        // Those that were silent for too long are closed meanwhile: as many as are open at once cost something.
        let open = scene.open()?;
        Ok((held, open))
    })?;
    let grown = scene.grown()?;
    println!("{count} silent connections, {open} open at the end: {} KiB more", grown / 1024);
    ensure!(grown < open as u64 * 8 * 1024 + SLACK, "{open} silent connections at once cost {} MiB", grown / MIB);
    let refused = || scene.total("meltemi_connections_refused_total", "silent");
    until("the end of silent connections", Duration::from_secs(10), || match (scene.open()?, refused()?) {
        (0, times) if times >= count => Ok(()),
        (open, times) => Err(format!("{open} are open, {times} were counted")),
    })?;
    drop(held);
    scene.lab.check()?;
    Ok(())
}

pub fn handshakes() -> Outcome {
    const AT_ONCE: usize = 500;
    let scene = Scene::start()?;
    let hello = client_hello();
    let mut begun = 0;
    scene.unharmed("handshakes that nobody finishes", || {
        let started = Instant::now();
        while started.elapsed() < ENOUGH {
            let begin = || -> std::io::Result<TcpStream> {
                let mut stream = scene.attack(POD)?;
                stream.write_all(&hello)?;
                Ok(stream)
            };
            let mut open = (0..AT_ONCE).map(|_| begin()).collect::<std::io::Result<Vec<TcpStream>>>()?;
            for stream in &mut open {
                let mut first = [0];
                stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                stream.read_exact(&mut first)?;
                if first != [HANDSHAKE] {
                    return Err(format!("{first:?} is no answer to a ClientHello").into());
                }
            }
            begun += AT_ONCE as u64;
        }
        Ok(())
    })?;
    let grown = scene.grown()?;
    println!("{AT_ONCE} handshakes at once: {} KiB more", grown / 1024);
    ensure!(grown < AT_ONCE as u64 * 20 * 1024 + SLACK, "{AT_ONCE} handshakes cost {} MiB", grown / MIB);
    until("the end of handshakes", Duration::from_secs(10), || {
        match (scene.open()?, scene.total("meltemi_connections_refused_total", "tls")?) {
            (0, times) if times == begun => Ok(()),
            (open, times) => Err(format!("{open} are open, {times} of {begun} were counted")),
        }
    })?;
    scene.lab.check()?;
    Ok(())
}
