//! Clients of HTTP/2 that ask for much and take nothing.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::{BULK, MIB, Scene, heavy};
use crate::raw_h2::{INITIAL_WINDOW_SIZE, WINDOW_UPDATE, frame, get, hear, hear_and_answer, opening};
use crate::waiting::until;
use crate::{Outcome, ensure};

/// Asks for so many streams of a mebibyte on one connection and reads none of it.
fn ask_and_not_read(scene: &Scene, streams: u32, window: u32) -> std::io::Result<TcpStream> {
    let mut stream = scene.attack(BULK)?;
    // As little as possible waits in the kernel instead of the proxy.
    let mut sent = opening(&[(INITIAL_WINDOW_SIZE, window)]);
    sent.extend(frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    for n in 0..streams {
        sent.extend(get(2 * n + 1, "/bytes/1048576"));
    }
    stream.write_all(&sent)?;
    Ok(stream)
}

/// Asks for a mebibyte as the others do and reads it: what every first client costs is not theirs.
fn ask_and_read(scene: &Scene) -> Outcome {
    let heard = hear(&mut ask_and_not_read(scene, 1, 1 << 30)?, |heard| heard.data >= 1 << 20);
    ensure!(heard.ok == 1 && heard.data == 1 << 20, "{heard:?}");
    Ok(())
}

pub fn deaf_readers() -> Outcome {
    let scene = Scene::start()?;
    ask_and_read(&scene)?;
    let held = scene.unharmed("readers that take nothing", || {
        // Windows without end and a socket that is not read; and no window at all.
        let held = [(100, 1 << 30), (100, 0)].map(|(streams, window)| ask_and_not_read(&scene, streams, window));
        std::thread::sleep(Duration::from_secs(2));
        Ok(held.into_iter().collect::<std::io::Result<Vec<TcpStream>>>()?)
    })?;
    let grown = scene.grown()?;
    println!("two connections of 100 streams that take nothing: {} KiB", grown / 1024);
    // Held are the windows of two connections to the application, 16 MiB each, and for each of the 100 streams whose client has
    // said that it would take them 128 KiB and the frame of 16 KiB that passed this: 46.1 MiB. Read buffers are of 64 KiB, and
    // their last frame may not have fitted: 61.5 MiB.
    ensure!(grown < 64 * MIB, "two connections that read nothing cost {} MiB", grown / MIB);
    if heavy() {
        are_ended(&scene, held)?;
    }
    scene.lab.check()?;
    Ok(())
}

/// The first connection's socket is full: it ends. The second one's peer is alive: its streams end.
fn are_ended(scene: &Scene, held: Vec<TcpStream>) -> Outcome {
    let [_full, mut alive] = <[TcpStream; 2]>::try_from(held).map_err(|held| format!("{} connections", held.len()))?;
    std::thread::scope(|scope| {
        let patience = Duration::from_secs(400);
        let alive = scope.spawn(move || hear_and_answer(&mut alive, patience, |heard| heard.resets == 100));
        until("the end of a connection that takes nothing", Duration::from_secs(60), || {
            match (scene.counted("http2_write_stalled")?, scene.open()?) {
                (1, 1) => Ok(()),
                (times, open) => Err(format!("counted {times} times, {open} are open")),
            }
        })?;
        let heard = alive.join().expect("a reader");
        let counted = scene.counted("http2_stream_stalled")?;
        ensure!(heard.resets == 100 && !heard.ended && counted == 100, "{counted} counted, {heard:?}");
        Ok(())
    })
}
