//! The end of a sidecar: a native sidecar gets SIGTERM when its application has ended, and a pod is not gone before it is.
//! So it waits for what is under way and for nobody else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lab::{Lab, Pod};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::config::{Config, endpoints, service};
use crate::origin::Origin;
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const WEB: ([u8; 4], u16) = ([10, 44, 2, 13], 8080);
/// The default of `--drain-at-least`.
const AT_LEAST: Duration = Duration::from_secs(1);
/// The lab lets a sidecar drain for three fifths of this.
const GRACE: Duration = Duration::from_secs(50);
const AT_MOST: Duration = Duration::from_secs(30);

pub fn tests() -> Vec<Trial> {
    vec![
        test("ending::a_sidecar_that_nobody_calls_ends_at_once", job),
        test("ending::connections_on_which_nothing_is_under_way_keep_no_sidecar", idle),
        test("ending::a_request_under_way_is_answered_before_the_sidecar_ends", under_way),
    ]
}

/// A Job that calls a service, and the service.
fn scene() -> Result<(Lab, Origin, Config), Box<dyn std::error::Error>> {
    let config = Config::new();
    config.client("job", 2, true);
    config.client("web", 13, true);
    config.client("plain", 99, false);
    let ports = [("http", 80, 8080)];
    let text = service("web", "10.96.2.13", &ports) + &endpoints("web", &ports, [("web", 13)].into_iter());
    config.write("web-service.yaml", &text);
    let mut options = config.options();
    options.grace = GRACE;
    let lab = Lab::start(options)?;
    let origin = Origin::start(lab.pod("web")?, 8080)?;
    Ok((lab, origin, config))
}

/// How long the sidecar takes to end.
fn end(pod: &Pod) -> Result<Duration, String> {
    let sidecar = pod.sidecar().ok_or("no sidecar")?;
    let started = Instant::now();
    sidecar.signal(Signal::SIGTERM);
    let status = sidecar.wait(AT_MOST).ok_or("it does not end")?;
    let took = started.elapsed();
    println!("{} after {took:?}", sidecar.name());
    if status.success() { Ok(took) } else { Err(format!("it ended with {status}")) }
}

fn job() -> Outcome {
    let (lab, _origin, _config) = scene()?;
    let job = lab.pod("job")?;
    let answer = job.get(([10, 96, 2, 13], 80), "/")?;
    ensure!(answer.status == 200, "{answer:?}");
    let took = end(job)?;
    ensure!(took < AT_LEAST, "the sidecar of a Job took {took:?}");
    Ok(())
}

fn ask(stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n").as_bytes())
}

fn idle() -> Outcome {
    let (lab, _origin, _config) = scene()?;
    let web = lab.pod("web")?;
    let mut kept = lab.pod("plain")?.connect(WEB)?;
    ask(&mut kept, "/")?;
    let mut answer = [0; 4096];
    let read = kept.read(&mut answer)?;
    ensure!(answer[..read].starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer[..read]));
    let took = end(web)?;
    ensure!(took >= AT_LEAST, "clients had {took:?} to hear of it");
    ensure!(took < AT_LEAST * 3, "an idle connection kept the sidecar for {took:?}");
    Ok(())
}

fn under_way() -> Outcome {
    const PAUSE: Duration = Duration::from_secs(4);
    let (lab, _origin, _config) = scene()?;
    let web = lab.pod("web")?;
    let mut stream = lab.pod("plain")?.connect(WEB)?;
    // An upload whose last byte comes late.
    stream.write_all(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhalf")?;
    until("the request's connection", Duration::from_secs(10), || {
        let text = web.admin("/stats/prometheus").map_err(|error| error.to_string())?.text();
        let accepted = "meltemi_connections_accepted_total{direction=\"inbound\"} 1";
        if text.lines().any(|line| line == accepted) { Ok(()) } else { Err(text) }
    })?;
    let (took, answer) = std::thread::scope(|scope| {
        let ending = scope.spawn(|| end(web));
        std::thread::sleep(PAUSE);
        let mut answer = String::new();
        let heard = stream.write_all(b"!").and_then(|()| stream.read_to_string(&mut answer));
        (ending.join().expect("no panic"), heard.map(|_| answer))
    });
    let (took, answer) = (took?, answer?);
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("5 bytes"), "{answer}");
    ensure!(took >= PAUSE, "it ended after {took:?}");
    Ok(())
}
