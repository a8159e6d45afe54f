//! Hostile and slow peers: they are ended with a reason that is counted, memory stays within a bound, and a client beside
//! them notices nothing.
//!
//! `MELTEMI_HEAVY=1` (`make test-hostile`, of the release program) allows nothing for noise, judges each flood by itself, and waits
//! for what takes minutes to be ended.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::{Lab, Memory, Pod, SidecarKind};
use libtest_mimic::Trial;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::Backlog;

use crate::apart::{self, Cpus, on_own_thread};
use crate::config::Config;
use crate::origin::Origin;
use crate::raw_h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Heard, INITIAL_WINDOW_SIZE, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, flood, frame, get, hear, hear_and_answer, opening, post,
};
use crate::raw_tls::client_hello;
use crate::victim::{self, Seen};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

/// The victim's way: through its own sidecar.
const SERVICE: ([u8; 4], u16) = ([10, 96, 2, 13], 80);
/// The attacker's way: at the server's sidecar.
const POD: ([u8; 4], u16) = ([10, 44, 2, 13], 8080);
/// An application that accepts and never reads.
const DEAF: ([u8; 4], u16) = ([10, 44, 2, 13], 8081);
/// What the attacker makes work hard: a thread of its own, because one that is busy with bodies of many MiB keeps its other
/// clients waiting, and the sidecars have no part in that.
const BULK: ([u8; 4], u16) = ([10, 44, 2, 13], 8082);
/// An application that begins to answer before it has heard all.
const EARLY: ([u8; 4], u16) = ([10, 44, 2, 13], 8083);
/// An application that takes no more connections.
const FULL: ([u8; 4], u16) = ([10, 44, 2, 13], 8084);
/// An application of HTTP/2 that reads when it is told to.
const LATE: ([u8; 4], u16) = ([10, 44, 2, 13], 8085);
const ATTACKER: [u8; 4] = [10, 44, 2, 99];
/// How long an attack goes on that is over in a moment.
const ENOUGH: Duration = Duration::from_secs(2);
/// How often the victim's times are taken until they are good.
const ATTEMPTS: u32 = 3;
const MIB: u64 = 1 << 20;
/// What the sidecar may take besides while anything happens to it.
const SLACK: u64 = 2 * MIB;
/// A connection that both ends hold, in the kernel's table.
const ESTABLISHED: &str = "01";
/// The type of a TLS record.
const HANDSHAKE: u8 = 0x16;
/// ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

pub fn tests() -> Vec<Trial> {
    vec![
        test("hostile_peers::floods_of_http2_frames_are_cut_and_counted_and_harm_nobody", || on_own_thread(floods)),
        test("hostile_peers::an_honest_client_with_many_tiny_data_frames_is_served", || on_own_thread(tiny_and_honest)),
        test("hostile_peers::a_stream_of_tiny_messages_whose_reader_pauses_goes_on", || on_own_thread(tiny_and_paused)),
        test("hostile_peers::readers_that_take_nothing_cost_a_bounded_amount_and_are_ended", || {
            on_own_thread(deaf_readers)
        }),
        test("hostile_peers::ten_thousand_silent_connections_cost_little_and_harm_nobody", || on_own_thread(silent)),
        test("hostile_peers::handshakes_that_nobody_finishes_harm_nobody", || on_own_thread(handshakes)),
        test("hostile_peers::slow_heads_are_ended_over_http1_with_408_and_harm_nobody", || on_own_thread(slow_heads)),
        test("hostile_peers::slow_bodies_and_readers_over_http1_are_ended", || on_own_thread(slow_http1)),
    ]
}

fn heavy() -> bool {
    std::env::var_os("MELTEMI_HEAVY").is_some_and(|heavy| heavy == "1")
}

/// Crosses threads.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// A lab with a victim, an attacker without a sidecar, and an origin that both go to.
struct Scene {
    lab: Lab,
    _origins: [Origin; 2],
    _config: Config,
    /// Bytes, by the server's sidecar.
    held_at_first: u64,
}

impl Scene {
    fn start() -> Result<Self, Trouble> {
        let config = Config::new();
        config.client("victim", 2, true);
        config.client("attacker", 99, false);
        config.client("origin", 13, true);
        let ports = [
            ("http", 80, 8080),
            ("http2-deaf", 81, DEAF.1),
            ("http-bulk", 82, 8082),
            ("http-early", 83, EARLY.1),
            ("http-full", 84, FULL.1),
            ("http2-late", 85, LATE.1),
        ];
        let service = crate::config::service("origin", "10.96.2.13", &ports)
            + &crate::config::endpoints("origin", &ports, [("origin", 13)].into_iter());
        config.write("origin-service.yaml", &service);
        let cpus = Cpus::divide()?;
        let lab = Lab::prepare(config.options())?;
        let origin = lab.pod("origin")?;
        let start = |pod: &Pod| {
            pod.redirect()?;
            pod.start_sidecar(SidecarKind::Meltemi)
        };
        lab.control_plane().start()?;
        start(lab.pod("victim")?)?;
        cpus.apart(|| start(origin))??;
        // The second one serves nobody but attackers.
        let origins = [Origin::start(origin, POD.1)?, apart::behind(|| Origin::start(origin, BULK.1))??];
        let mut scene = Self { lab, _origins: origins, _config: config, held_at_first: 0 };
        until("the origin", Duration::from_secs(10), || match scene.victim().get(SERVICE, "/") {
            Ok(response) if response.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        scene.held_at_first = scene.settled()?;
        Ok(scene)
    }

    /// What the server's sidecar holds once it has let go of what only its start needed (`proxy/src/memory.rs`).
    fn settled(&self) -> Result<u64, Trouble> {
        let pid = self.lab.pod("origin")?.data_plane()?;
        let started = Memory::of(pid)?.rss;
        until("the end of the start", Duration::from_secs(10), || match Memory::of(pid) {
            Ok(Memory { rss, .. }) if rss < started - MIB => Ok(()),
            other => Err(format!("{other:?} of {started}")),
        })?;
        Memory::forget_peak(pid)?;
        Ok(Memory::anonymous(pid)?)
    }

    fn victim(&self) -> &Pod {
        self.lab.pod("victim").expect("a pod of the scene")
    }

    fn attack(&self, address: impl Into<std::net::SocketAddr>) -> std::io::Result<TcpStream> {
        let stream = self.lab.pod("attacker").expect("a pod of the scene").connect(address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// What the victim sees while something happens.
    fn beside<T>(&self, during: impl FnOnce() -> T) -> Result<(Seen, T), Trouble> {
        let (near, far) = (self.victim().data_plane()?, self.lab.pod("origin")?.data_plane()?);
        let (this, origin) = (std::process::id().cast_signed(), Origin::thread(POD.1));
        let on_the_way = [(near, "worker"), (this, &origin), (far, "worker")];
        Ok(victim::beside(self.victim(), SERVICE, &on_the_way, during))
    }

    /// What the victim sees meanwhile must be as in normal times, which are measured just before. What other programs of the
    /// machine do is taken out, but not all of it can be (see `victim::NOISE`), so there are [`ATTEMPTS`]: what the attack
    /// itself does to the victim it does each time.
    fn unharmed<T: Send>(
        &self,
        what: &str,
        mut during: impl FnMut() -> Result<T, Trouble> + Send,
    ) -> Result<T, Trouble> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (normal, ()) = self.beside(|| std::thread::sleep(Duration::from_secs(1)))?;
            let (seen, result) = self.beside(|| apart::behind(&mut during))?;
            let told = format!(
                "{what}: the victim's p99 {:?}, without waits for a CPU {:?}, of {} answers; normally {:?} and {:?}; {:.1} times",
                seen.p99(),
                seen.p99_served(),
                seen.count(),
                normal.p99(),
                normal.p99_served(),
                seen.p99_served().as_secs_f64() / normal.p99_served().as_secs_f64(),
            );
            println!("{told}");
            let result = result??;
            if seen.is_unharmed(&normal, heavy()) {
                return Ok(result);
            }
            // An error is none of the machine's.
            if attempt == ATTEMPTS || !seen.errors.is_empty() {
                return Err(format!("{told}; errors: {:?}", seen.errors).into());
            }
        }
    }

    /// How many bytes more than at first the server's sidecar held at the worst moment of what happened. Pages of its code are
    /// not counted: the first who needs one brings it back, and nobody twice.
    fn grown(&self) -> Result<u64, Trouble> {
        let peak = Memory::anonymous_peak(self.lab.pod("origin")?.data_plane()?)?;
        Ok(peak.saturating_sub(self.held_at_first))
    }

    /// Connections of the attacker that the server's sidecar has not closed.
    fn open(&self) -> Result<usize, String> {
        // A socket of both families has its connections in the second table, with the address at the end.
        let read = || {
            let table = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
            Ok::<_, std::io::Error>(table("tcp")? + &table("tcp6")?)
        };
        let table = self.lab.pod("origin").map_err(|error| error.to_string())?.enter(read);
        let table = table.and_then(|table| table).map_err(|error| error.to_string())?;
        let attacker = format!("{:08X}:", u32::from_ne_bytes(ATTACKER));
        let open = |line: &str| {
            let mut fields = line.split_whitespace().skip(2);
            fields.next().is_some_and(|remote| remote.contains(&attacker)) && fields.next() == Some(ESTABLISHED)
        };
        Ok(table.lines().filter(|line| open(line)).count())
    }

    fn counted(&self, reason: &str) -> Result<u64, String> {
        self.total("meltemi_invalid_requests_total", reason)
    }

    fn total(&self, name: &str, reason: &str) -> Result<u64, String> {
        let pod = self.lab.pod("origin").map_err(|error| error.to_string())?;
        let text = pod.admin("/stats/prometheus").map_err(|error| error.to_string())?.text();
        let series = format!("{name}{{reason=\"{reason}\"}} ");
        Ok(text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0))
    }
}

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

fn floods() -> Outcome {
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

fn tiny_and_honest() -> Outcome {
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
fn tiny_and_paused() -> Outcome {
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

fn deaf_readers() -> Outcome {
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

/// Makes room for so many connections in this process.
fn make_room(connections: u64) -> Outcome {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = connections + 1000;
    ensure!(hard >= wanted, "this test needs {wanted} open files (`ulimit -Hn`), and may have {hard}");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

fn silent() -> Outcome {
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

fn handshakes() -> Outcome {
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

fn slow_heads() -> Outcome {
    let scene = Scene::start()?;
    let open = |_| {
        let mut stream = scene.attack(POD)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: origin\r\n")?;
        Ok::<_, std::io::Error>(stream)
    };
    // Of 1,000 bytes of headers the first few.
    let begun = &frame(HEADERS, END_HEADERS, 1, &[0; 1000])[..20];
    let open_h2 = |_| {
        let mut stream = scene.attack(POD)?;
        stream.write_all(&[&opening(&[]), begun].concat())?;
        Ok::<_, std::io::Error>(stream)
    };
    let (mut stopped, mut dripping, mut blocks, counted) = scene.unharmed("slow heads", || {
        let counted = scene.counted("timeout")?;
        let stopped: Vec<TcpStream> = (0..100).map(open).collect::<Result<_, _>>()?;
        let mut dripping: Vec<TcpStream> = (0..100).map(open).collect::<Result<_, _>>()?;
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
    println!("300 slow heads: {} KiB more", grown / 1024);
    ensure!(grown < 300 * 32 * 1024 + SLACK, "300 slow heads cost {} MiB", grown / MIB);
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

fn slow_http1() -> Outcome {
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
    let answers = streams.iter().map(|stream| Ok(stream.try_clone()?)).collect::<std::io::Result<Vec<_>>>()?;
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
