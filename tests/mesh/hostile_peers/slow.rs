//! Clients whose heads and bodies come slowly, and those who take an answer slowly.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{BULK, EARLY, MIB, POD, SLACK, Scene, Trouble, heavy};
use crate::raw_h2::{DATA, END_HEADERS, HEADERS, block, frame, hear, hear_and_answer, opening, post};
use crate::waiting::until;
use crate::{Outcome, ensure};

pub fn slow_heads() -> Outcome {
    const LARGE: usize = 58 * 1024;
    let scene = Scene::start()?;
    let open = |more: &[u8]| {
        let mut stream = scene.attack(POD)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: origin\r\n")?;
        stream.write_all(more)?;
        Ok::<_, std::io::Error>(stream)
    };
    // Nearly all that a head may have.
    let large = [b"X-Large: ".to_vec(), vec![b'x'; LARGE]].concat();
    // Of 1,000 bytes of headers the first few.
    let begun = &frame(HEADERS, END_HEADERS, 1, &[0; 1000])[..20];
    let open_h2 = |_| {
        let mut stream = scene.attack(POD)?;
        stream.write_all(&[&opening(&[]), begun].concat())?;
        Ok::<_, std::io::Error>(stream)
    };
    let (mut stopped, mut dripping, mut blocks, counted) = scene.unharmed("slow heads", || {
        let counted = scene.counted("timeout")?;
        let stopped: Vec<TcpStream> = (0..100).map(|_| open(b"")).collect::<Result<_, _>>()?;
        let mut dripping: Vec<TcpStream> = (0..100).map(|_| open(&large)).collect::<Result<_, _>>()?;
        let mut blocks: Vec<TcpStream> = (0..100).map(open_h2).collect::<Result<_, _>>()?;
        let started = Instant::now();
        // A byte of a header now and then; those that are closed already do not take it.
        while started.elapsed() < Duration::from_secs(12) {
            for stream in dripping.iter_mut().chain(&mut blocks) {
                let _ = stream.write_all(b"x");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok((stopped, dripping, blocks, counted))
    })?;
    let grown = scene.grown()?;
    println!("300 slow heads, of which 100 have {LARGE} bytes: {} KiB more", grown / 1024);
    ensure!(grown < 300 * 32 * 1024 + 100 * LARGE as u64 + SLACK, "300 slow heads cost {} MiB", grown / MIB);
    for (client, answer) in stopped.iter_mut().map(rest).enumerate() {
        let text = String::from_utf8_lossy(&answer);
        ensure!(text.starts_with("HTTP/1.1 408"), "client {client}, which stopped inside its head, read {text:?}");
    }
    // What a client writes after the end may destroy the answer on its way; the count may not suffer.
    let told = dripping.iter_mut().map(rest).filter(|answer| answer.starts_with(b"HTTP/1.1 408")).count();
    println!("of 100 that went on dripping {told} got 408");
    for (client, stream) in blocks.iter_mut().enumerate() {
        let heard = hear(stream, |heard| heard.ended);
        ensure!(heard.ended, "client {client}, which dribbled out a head of HTTP/2, goes on: {heard:?}");
    }
    let times = scene.counted("timeout")? - counted;
    ensure!(times == 300, "{times} of 300 slow heads were counted");
    Ok(())
}

/// What has come on a connection by now.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    // A reset after the answer leaves what was read before.
    let _ = stream.read_to_end(&mut all);
    let _ = stream.shutdown(Shutdown::Both);
    all
}

/// Answers the first half at once, and says how much of a request came until its connection ended.
fn answer_early(scene: &Scene) -> Result<JoinHandle<std::io::Result<usize>>, Trouble> {
    let listener = scene.lab.pod("origin")?.listen(([0, 0, 0, 0], EARLY.1))?;
    Ok(std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut all = vec![0; 4096];
        let began = stream.read(&mut all)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nearly")?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(began + stream.read_to_end(&mut all)?)
    }))
}

pub fn slow_http1() -> Outcome {
    let scene = Scene::start()?;
    let application = answer_early(&scene)?;
    let slow_body = |target| {
        let mut stream = scene.attack(target)?;
        stream.write_all(b"POST / HTTP/1.1\r\nHost: origin\r\nContent-Length: 1000000\r\n\r\nbegun")?;
        Ok::<_, std::io::Error>(stream)
    };
    let slow_reader = || {
        let mut stream = scene.attack(BULK)?;
        stream.write_all(b"GET /bytes/16777216 HTTP/1.1\r\nHost: origin\r\n\r\n")?;
        Ok::<_, std::io::Error>(stream)
    };
    let (mut bodies, readers) = scene.unharmed("slow bodies and readers", || {
        let bodies: Vec<TcpStream> = (0..200).map(|_| slow_body(BULK)).collect::<Result<_, _>>()?;
        let readers: Vec<TcpStream> = (0..50).map(|_| slow_reader()).collect::<Result<_, _>>()?;
        std::thread::sleep(Duration::from_secs(1));
        Ok((bodies, readers))
    })?;
    let grown = scene.grown()?;
    println!("200 slow bodies and 50 slow readers: {} KiB", grown / 1024);
    // Buffers of one connection either way and its upstream's, not the 16 MiB that each reader asked for.
    ensure!(grown < 250 * 256 * 1024, "200 slow bodies and 50 slow readers cost {} MiB", grown / MIB);
    let open = scene.open()?;
    ensure!(open == bodies.len() + readers.len(), "{open} are open");
    let mut early = slow_body(EARLY)?;
    // Half of them send a byte now and then.
    let (dripping, silent) = bodies.split_at_mut(100);
    until("the end of the bodies", Duration::from_secs(90), || {
        for stream in &mut *dripping {
            let _ = stream.write_all(b"x");
        }
        match (scene.counted("request_body_timeout")?, scene.open()?) {
            (201, open) if open == readers.len() => Ok(()),
            (times, open) => Err(format!("{times} of 201 were counted, {open} are open")),
        }
    })?;
    let answer = rest(&mut early);
    ensure!(answer.ends_with(b"early"), "half an answer came as {:?}", String::from_utf8_lossy(&answer));
    application.join().expect("an application")?;
    for answer in silent.iter_mut().map(rest) {
        ensure!(
            answer.starts_with(b"HTTP/1.1 408"),
            "{:?} is no answer to half a body",
            String::from_utf8_lossy(&answer)
        );
    }
    if heavy() {
        let nibblers = (0..10).map(|_| slow_reader()).collect::<Result<_, _>>()?;
        after_minutes(&scene, nibblers)?;
        let counted = scene.counted("stream_idle_timeout")?;
        ensure!(counted == 60, "{counted} of 60 slow readers were counted");
    }
    drop((bodies, readers));
    scene.lab.check()?;
    Ok(())
}

/// Readers that take a few bytes a second, bodies in chunks of which nothing more comes, bodies over HTTP/2 whose length is
/// known and of which a byte comes each second, and connections that answer no PING: ten each.
fn after_minutes(scene: &Scene, mut nibblers: Vec<TcpStream>) -> Outcome {
    let opened = |bytes: &[u8]| {
        let mut stream = scene.attack(BULK)?;
        stream.write_all(bytes)?;
        Ok::<_, std::io::Error>(stream)
    };
    let ten = |bytes: &[u8]| (0..10).map(|_| opened(bytes)).collect::<std::io::Result<Vec<TcpStream>>>();
    let mut chunked = ten(b"POST / HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")?;
    let mute = ten(&[opening(&[]), post(1, "/")].concat())?;
    // `content-length: 9999`
    let head = [block(0x83, "/"), b"\x0f\x0d\x049999".to_vec()].concat();
    let mut streams = ten(&[opening(&[]), frame(HEADERS, END_HEADERS, 1, &head)].concat())?;
    let patience = Duration::from_secs(400);
    let hear = move |mut stream: TcpStream| hear_and_answer(&mut stream, patience, |heard| heard.finished);
    let answers = streams.iter().map(TcpStream::try_clone).collect::<std::io::Result<Vec<_>>>()?;
    let answers: Vec<_> = answers.into_iter().map(|stream| std::thread::spawn(move || hear(stream))).collect();
    let before = scene.counted("request_body_timeout")?;
    let mut beat = Instant::now();
    until("the end of what is slow", patience, || {
        if beat.elapsed() > Duration::from_secs(1) {
            beat = Instant::now();
            for stream in &mut nibblers {
                let _ = stream.read(&mut [0; 5]);
            }
            for stream in &mut streams {
                let _ = stream.write_all(&frame(DATA, 0, 1, b"x"));
            }
        }
        let counted = ["request_body_timeout", "http2_ping_unanswered"].map(|reason| scene.counted(reason));
        match (counted, scene.open()?) {
            ([Ok(slow), Ok(10)], 10) if slow == before + 20 => Ok(()),
            (counted, open) => Err(format!("counted {counted:?}, {open} are open")),
        }
    })?;
    for answer in chunked.iter_mut().map(rest) {
        ensure!(answer.starts_with(b"HTTP/1.1 408"), "{:?} is no answer", String::from_utf8_lossy(&answer));
    }
    for heard in answers {
        let heard = heard.join().expect("a client");
        ensure!(heard.finished && !heard.ended, "no answer to a slow body over HTTP/2: {heard:?}");
    }
    drop(mute);
    Ok(())
}
