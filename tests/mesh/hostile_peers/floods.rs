//! Floods of HTTP/2 frames, and streams of small ones that are none.

use std::io::{Read, Write};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::Backlog;

use super::{DEAF, ENOUGH, FULL, LATE, MIB, POD, Scene, Trouble, heavy};
use crate::raw_h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Heard, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, flood, frame, get, hear, opening, post,
};
use crate::waiting::until;
use crate::{Outcome, ensure};

/// ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

/// An attack on one connection.
struct Attack {
    name: &'static str,
    reason: &'static str,
    target: ([u8; 4], u16),
    before: Vec<u8>,
    times: u32,
    again: fn(u32) -> Vec<u8>,
}

fn attacks() -> Vec<Attack> {
    let attack = |name, reason, times, again: fn(u32) -> Vec<u8>| {
        let before = opening(&[]);
        Attack { name, reason, target: POD, before, times, again }
    };
    let with = |before: Vec<u8>, attack: Attack| Attack { before: [opening(&[]), before].concat(), ..attack };
    let reset = |n: u32| [get(2 * n + 1, "/"), frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat();
    let unfinished = || frame(HEADERS, END_STREAM, 1, &block(0x82, "/"));
    let faulty = |n: u32| {
        // `content-length: 1`, and five bytes.
        let head = [block(0x83, "/"), vec![0x0f, 0x0d, 1, b'1']].concat();
        let stream = 2 * n + 1;
        [frame(HEADERS, END_HEADERS, stream, &head), frame(DATA, END_STREAM, stream, b"five!")].concat()
    };
    vec![
        attack("rapid reset", "http2_reset_flood", 50_000, reset),
        attack("streams that we must reset", "http2_faulty_streams_flood", 20_000, faulty),
        with(
            unfinished(),
            attack("CONTINUATION", "http2_continuation_flood", 20_000, |_| {
                frame(CONTINUATION, 0, 1, &b"\x00\x01a\x01b".repeat(200))
            }),
        ),
        with(
            unfinished(),
            attack("empty CONTINUATION", "http2_continuation_flood", 200_000, |_| frame(CONTINUATION, 0, 1, &[])),
        ),
        attack("PING", "http2_ping_flood", 200_000, |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
        attack("SETTINGS", "http2_settings_flood", 200_000, |_| frame(SETTINGS, 0, 0, &[])),
        attack("large SETTINGS", "http2_settings_flood", 1000, |_| frame(SETTINGS, 0, 0, &[0; 6000])),
        attack("PRIORITY", "http2_priority_flood", 200_000, |n| frame(PRIORITY, 0, 2 * n + 3, &[0, 0, 0, 0, 16])),
        attack("WINDOW_UPDATE", "http2_window_update_flood", 200_000, |_| {
            frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())
        }),
        attack("unknown frames", "http2_unknown_frame_flood", 200_000, |_| frame(0x77, 0, 0, b"what")),
        with(post(1, "/"), attack("empty DATA", "http2_empty_data_flood", 200_000, |_| frame(DATA, 0, 1, &[]))),
        Attack {
            target: FULL,
            ..with(
                post(1, "/"),
                attack("tiny DATA of a request that waits", "http2_small_data_flood", 1_000_000, |_| {
                    frame(DATA, 0, 1, b"x")
                }),
            )
        },
        Attack {
            target: DEAF,
            ..with(
                post(1, "/"),
                attack("tiny DATA that nobody reads", "http2_small_data_flood", 1_000_000, |_| frame(DATA, 0, 1, b"x")),
            )
        },
    ]
}

impl Scene {
    /// Must end it as a flood.
    fn suffer(&self, attack: &Attack) -> Result<(), Trouble> {
        let name = attack.name;
        let started = Instant::now();
        let heard = flood(self.attack(attack.target)?, &attack.before, attack.times, attack.again);
        println!("{name}: {heard:?} after {:?}", started.elapsed());
        if !heard.ended || heard.goaway.is_some_and(|code| code != CALM) {
            return Err(format!("{name}: not ended as a flood: {heard:?}").into());
        }
        Ok(())
    }

    /// Lets each attack of these happen again and again beside the victim; returns how many rounds there were.
    fn flooded(&self, what: &str, attacks: &[Attack]) -> Result<u64, Trouble> {
        let mut rounds = 0;
        self.unharmed(what, || {
            let started = Instant::now();
            while started.elapsed() < ENOUGH {
                rounds += 1;
                attacks.iter().try_for_each(|attack| self.suffer(attack))?;
            }
            Ok(())
        })?;
        Ok(rounds)
    }

    /// Each attack must be counted by its reason, as often as it happened.
    fn counts(&self, happened: &[(Attack, u64)]) -> Result<(), String> {
        for (Attack { name, reason, .. }, _) in happened {
            let same = happened.iter().filter(|(other, _)| other.reason == *reason);
            let expected: u64 = same.map(|(_, times)| times).sum();
            until(reason, Duration::from_secs(5), || match self.counted(reason)? {
                times if times == expected => Ok(()),
                times => Err(format!("{name}: counted {times} times, not {expected}")),
            })?;
        }
        Ok(())
    }
}

pub fn floods() -> Outcome {
    let scene = Scene::start()?;
    let origin = scene.lab.pod("origin")?;
    let _deaf = origin.listen(([0, 0, 0, 0], DEAF.1))?;
    let full = origin.listen(([0, 0, 0, 0], FULL.1))?;
    // Room for one that is not accepted.
    nix::sys::socket::listen(&full, Backlog::new(0)?)?;
    let _last = origin.connect(([127, 0, 0, 1], FULL.1))?;
    let mut happened = Vec::new();
    if heavy() {
        for attack in attacks() {
            let rounds = scene.flooded(attack.name, std::slice::from_ref(&attack))?;
            happened.push((attack, rounds));
        }
    } else {
        let attacks = attacks();
        let rounds = scene.flooded("floods", &attacks)?;
        happened.extend(attacks.into_iter().map(|attack| (attack, rounds)));
    }
    scene.counts(&happened)?;
    let grown = scene.grown()?;
    println!("{} MiB at first, {grown} bytes more at the peak of all floods", scene.held_at_first / MIB);
    // The heaviest holds 16,000 unread frames of one byte, of some hundred bytes each, in a table that doubles.
    ensure!(grown < 24 * MIB, "the floods took {} MiB", grown / MIB);
    scene.lab.check()?;
    Ok(())
}

pub fn tiny_and_honest() -> Outcome {
    let scene = Scene::start()?;
    for round in 0..3 {
        let mut stream = scene.attack(POD)?;
        let mut sent = [opening(&[]), post(1, "/")].concat();
        // Less than the window of 65,535 bytes that there is before the server's SETTINGS.
        for _ in 0..10_000 {
            sent.extend(frame(DATA, 0, 1, b"honest"));
        }
        sent.extend(frame(DATA, END_STREAM, 1, b""));
        let mut writing = stream.try_clone()?;
        let heard: Heard = std::thread::scope(|scope| {
            scope.spawn(move || writing.write_all(&sent));
            hear(&mut stream, |heard| heard.data > 0)
        });
        ensure!(heard.ok == 1 && heard.data == "60000 bytes".len(), "round {round}: {heard:?}");
    }
    Ok(())
}

/// Gives no window beyond the first before it is told to; answers with how many bytes came.
fn read_late(scene: &Scene, told: Receiver<()>) -> Result<JoinHandle<std::io::Result<()>>, Trouble> {
    let listener = scene.lab.pod("origin")?.listen(([0, 0, 0, 0], LATE.1))?;
    Ok(std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        let mut preface = [0; 24];
        stream.read_exact(&mut preface)?;
        let _ = told.recv();
        let window = (1_u32 << 30).to_be_bytes();
        stream.write_all(&[0, 1].map(|id| frame(WINDOW_UPDATE, 0, id, &window)).concat())?;
        let heard = hear(&mut stream, |heard| heard.finished);
        let bytes = heard.data.to_string();
        let head = frame(HEADERS, END_HEADERS, 1, &[0x88]);
        stream.write_all(&[head, frame(DATA, END_STREAM, 1, bytes.as_bytes())].concat())
    }))
}

/// h2 alone would hold some hundred bytes for each, and end the connection.
pub fn tiny_and_paused() -> Outcome {
    const BYTES: usize = 200_000;
    let scene = Scene::start()?;
    let (tell, told) = std::sync::mpsc::channel();
    let application = read_late(&scene, told)?;
    let mut stream = scene.attack(LATE)?;
    let ping = frame(PING, 0, 0, &[0; 8]);
    // A larger one among them is no reason to stop.
    let tiny = [frame(DATA, 0, 1, &[b'*'; 5000]), frame(DATA, 0, 1, b"*").repeat(BYTES - 5000)].concat();
    // The first answer comes after the SETTINGS that say how much may be sent, the second when all of it was taken.
    let tiny = [frame(SETTINGS, ACK, 0, &[]), post(1, "/"), tiny, ping.clone()].concat();
    for sent in [[opening(&[]), ping].concat(), tiny] {
        stream.write_all(&sent)?;
        let heard = hear(&mut stream, |heard| heard.answered > 0);
        ensure!(heard.answered == 1 && !heard.ended, "{heard:?}");
    }
    let grown = scene.grown()?;
    println!("{BYTES} bytes in tiny frames whose reader pauses: {} KiB", grown / 1024);
    ensure!(grown < 8 * MIB, "{BYTES} bytes in tiny frames cost {} MiB", grown / MIB);
    tell.send(())?;
    stream.write_all(&frame(DATA, END_STREAM, 1, b""))?;
    let heard = hear(&mut stream, |heard| heard.data > 0);
    ensure!(heard.ok == 1 && heard.data == BYTES.to_string().len(), "{heard:?}");
    application.join().expect("an application")?;
    Ok(())
}
