//! The demo inside its sandbox: starts the lab, shows what happens, and stops everything in order.

use super::sample::Sample;
use super::screen::{self, Screen};
use super::status::Status;
use super::{DemoArgs, Output, PORTS, gateway, table};
use anyhow::{Context, bail};
use lab::sandbox::{Sandbox, relay};
use lab::{ControlPlane, Lab, LabOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior};

/// What the live table covers.
const LIVE_WINDOW: &str = "10s";
/// What the last table covers.
const WHOLE_WINDOW: &str = "all";
/// How often the table is drawn.
const REDRAW: Duration = Duration::from_secs(1);
/// How often proxies report while somebody watches.
const REPORT_EVERY: &str = "1s";
/// How long each layer may take to finish at the end; all of them together stay within the launcher's patience.
const GRACE: Duration = Duration::from_millis(1500);
/// Longer than any `--for`.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) fn run(args: &DemoArgs, sandbox: &Sandbox) -> ExitCode {
    let outcome =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
            let outcome = runtime.block_on(demo(args, sandbox));
            // A start that was cut short still runs on another thread; it ends with the sandbox.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meltemi demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(args: &DemoArgs, sandbox: &Sandbox) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let sample = Sample::find(args.config_dir.as_deref())?;
    let options = options(sample.path())?;
    let lab = tokio::select! {
        started = spawn_blocking(move || Lab::start(options)) => Arc::new(started??),
        _ = stop.recv() => return Ok(()),
    };
    if lab.pods().is_empty() {
        bail!("{} holds no Pod; the demo runs those that it finds there", sample.path().display());
    }
    open_doors(&lab)?;
    introduce(&sample, sandbox);
    let mut screen = Screen::new();
    watch(args, &lab, &mut screen, &mut stop).await?;
    let last = ask(&lab, WHOLE_WINDOW).await?;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string(&last.report)?),
        Output::Table => screen.finish(&picture(&last, None)),
    }
    let health = lab.check();
    eprintln!("stopping");
    spawn_blocking(move || lab.stop()).await?;
    Ok(health?)
}

fn options(config_dir: &Path) -> anyhow::Result<LabOptions> {
    let mut options = LabOptions::new(config_dir, std::env::current_exe().context("find this program")?);
    options.proxy_args.extend(["--report-every".to_owned(), REPORT_EVERY.to_owned()]);
    options.grace = GRACE;
    options.progress = |what| eprintln!("{what}");
    Ok(options)
}

/// Listens where the launcher joins the host's loopback to the sandbox.
fn open_doors(lab: &Arc<Lab>) -> anyhow::Result<()> {
    let [control_plane, debug] = PORTS.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let fabric = Arc::clone(lab);
    tokio::spawn(relay(control_plane.context("listen in the sandbox")?, move || connect_fabric(Arc::clone(&fabric))));
    let debug = debug.context("listen in the sandbox")?;
    debug.set_nonblocking(true)?;
    let debug = tokio::net::TcpListener::from_std(debug)?;
    let router = gateway::router(Arc::clone(lab));
    tokio::spawn(async move { axum::serve(debug, router).await });
    Ok(())
}

async fn connect_fabric(lab: Arc<Lab>) -> std::io::Result<TcpStream> {
    let stream = spawn_blocking(move || lab.connect_fabric(ControlPlane::http())).await??;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn introduce(sample: &Sample, sandbox: &Sandbox) {
    if let [control_plane, debug] = sandbox.published.as_slice() {
        eprintln!("metrics, config dumps and logs: http://{debug}/   the mesh: http://{control_plane}/api/edges");
    }
    eprintln!("edit the files in {} and watch", sample.path().display());
}

/// Draws until the end of `--for` or the wish to stop.
async fn watch(args: &DemoArgs, lab: &Arc<Lab>, screen: &mut Screen, stop: &mut Signal) -> anyhow::Result<()> {
    let end = Instant::now() + args.duration.unwrap_or(FOREVER);
    let mut ticks = tokio::time::interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tokio::time::sleep_until(end) => return Ok(()),
            _ = stop.recv() => return Ok(()),
        }
        if args.output == Output::Table {
            match ask(lab, LIVE_WINDOW).await {
                Ok(status) => screen.draw(&picture(&status, lab.check().err().map(|error| error.to_string()))),
                Err(error) => screen.draw(&format!("{error:#}\n")),
            }
        }
    }
}

async fn ask(lab: &Arc<Lab>, window: &'static str) -> anyhow::Result<Status> {
    let control_plane = Arc::clone(lab.control_plane());
    spawn_blocking(move || Status::ask(&control_plane, window)).await?
}

/// The table, and under it what is wrong.
fn picture(status: &Status, trouble: Option<String>) -> String {
    let width = screen::width();
    let mut text = table::render(&status.report, width);
    for line in status.problems.iter().chain(&trouble) {
        text.push_str(&screen::wrap(line, width));
        text.push('\n');
    }
    text
}
