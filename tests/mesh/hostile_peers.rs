//! Hostile and slow peers: they are ended with a reason that is counted, memory stays within a bound, and a client beside
//! them notices nothing.
//!
//! `MELTEMI_HEAVY=1` (`make test-hostile`, of the release program) allows nothing for noise, judges each flood by itself, and waits
//! for what takes minutes to be ended.

mod floods;
mod readers;
mod silent;
mod slow;

use std::net::TcpStream;
use std::time::Duration;

use lab::{Lab, Memory, Pod, SidecarKind};
use libtest_mimic::Trial;

use crate::apart::{self, Cpus, on_own_thread};
use crate::config::Config;
use crate::origin::Origin;
use crate::test;
use crate::victim::{self, Seen};
use crate::waiting::until;

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

pub fn tests() -> Vec<Trial> {
    vec![
        test("hostile_peers::floods_of_http2_frames_are_cut_and_counted_and_harm_nobody", || {
            on_own_thread(floods::floods)
        }),
        test("hostile_peers::an_honest_client_with_many_tiny_data_frames_is_served", || {
            on_own_thread(floods::tiny_and_honest)
        }),
        test("hostile_peers::a_stream_of_tiny_messages_whose_reader_pauses_goes_on", || {
            on_own_thread(floods::tiny_and_paused)
        }),
        test("hostile_peers::readers_that_take_nothing_cost_a_bounded_amount_and_are_ended", || {
            on_own_thread(readers::deaf_readers)
        }),
        test("hostile_peers::ten_thousand_silent_connections_cost_little_and_harm_nobody", || {
            on_own_thread(silent::silent)
        }),
        test("hostile_peers::handshakes_that_nobody_finishes_harm_nobody", || on_own_thread(silent::handshakes)),
        test("hostile_peers::slow_heads_are_ended_over_http1_with_408_and_harm_nobody", || {
            on_own_thread(slow::slow_heads)
        }),
        test("hostile_peers::slow_bodies_and_readers_over_http1_are_ended", || on_own_thread(slow::slow_http1)),
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
        let started = Memory::of(origin.data_plane()?)?;
        // The second one serves nobody but attackers.
        let origins = [Origin::start(origin, POD.1)?, apart::behind(|| Origin::start(origin, BULK.1))??];
        let mut scene = Self { lab, _origins: origins, _config: config, held_at_first: 0 };
        until("the origin", Duration::from_secs(10), || match scene.victim().get(SERVICE, "/") {
            Ok(response) if response.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        scene.held_at_first = scene.settled(started)?;
        Ok(scene)
    }

    /// What the server's sidecar holds once it has let go of what only its start needed (`proxy/src/memory.rs`), a second later.
    fn settled(&self, started: Memory) -> Result<u64, Trouble> {
        let pid = self.lab.pod("origin")?.data_plane()?;
        until("the end of the start", Duration::from_secs(10), || match Memory::of(pid) {
            Ok(Memory { rss, .. }) if rss < started.rss - MIB => Ok(()),
            other => Err(format!("{other:?} of {started:?}")),
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
    /// not counted: the first who needs one brings it back, and nobody twice. What came back since that moment makes it less.
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
