//! `make cluster`: a cluster for a person, with Meltemi on it, until Ctrl-C.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use cluster::{Cluster, ClusterError, Options, echo};
use lab::sandbox::Sandbox;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The API server's port, here and, if it is free, on the host's loopback.
const PORT: u16 = 6443;

fn main() -> ExitCode {
    match cluster::run(&[PORT], |sandbox| report(serve(&sandbox))) {
        Ok(code) => code,
        Err(error) => report(Err(error.into())),
    }
}

fn report(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(sandbox: &Sandbox) -> Result<(), Box<dyn std::error::Error>> {
    let address = *sandbox.published.first().ok_or("the sandbox publishes no port")?;
    let started = Instant::now();
    println!("starting Kubernetes ...");
    let cluster = Cluster::start(Options::default())?;
    cluster.gateway_api_crds()?;
    cluster.load(&echo(cluster.programs())?)?;
    install(&cluster);
    let file = PublicKubeconfig::write(&cluster, address)?;
    let door = Door::open(&cluster)?;
    introduce(&cluster, &file.path, started);
    door.keep(&cluster);
    println!("\nending ...");
    Ok(())
}

/// Meltemi, from the program that MELTEMI names or that cargo has put beside this one. Without it the cluster is still of
/// use.
fn install(cluster: &Cluster) {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("meltemi"));
    let program = std::env::var_os("MELTEMI").map(PathBuf::from).or_else(beside);
    let Some(program) = program.filter(|program| program.exists()) else {
        return println!("without Meltemi: there is no program to make its images from");
    };
    println!("installing Meltemi ...");
    match cluster.install_meltemi(&program, &[]) {
        Ok(said) => println!("{said}"),
        Err(error) => println!("without Meltemi: {error}"),
    }
}

fn introduce(cluster: &Cluster, kubeconfig: &Path, started: Instant) {
    let programs = cluster.programs().folder().display();
    let kubeconfig = kubeconfig.display();
    println!(
        "
The cluster is ready after {:.1} s: Kubernetes with one node, the definitions of Gateway API, and the
image {} for a server and a client. In another terminal:

    export KUBECONFIG={kubeconfig} PATH={programs}:$PATH
    kubectl get pods --all-namespaces

Ctrl-C ends it and leaves nothing behind.",
        started.elapsed().as_secs_f32(),
        cluster::ECHO_IMAGE,
    );
}

/// The way in from the host, and the signal that ends it: both there before anybody is told to use them.
struct Door {
    listener: TcpListener,
    end: Signal,
}

impl Door {
    fn open(cluster: &Cluster) -> std::io::Result<Door> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
        let end = cluster.block_on(async { signal(SignalKind::terminate()) })?;
        Ok(Door { listener, end })
    }

    /// Lets the host in until somebody wants the end.
    fn keep(mut self, cluster: &Cluster) {
        let inside = SocketAddr::from((cluster.addresses().node(), PORT));
        cluster.block_on(async move {
            tokio::select! {
                () = lab::sandbox::relay(self.listener, move || TcpStream::connect(inside)) => {}
                _ = self.end.recv() => {}
            }
        });
    }
}

/// A kubeconfig that works from the host. It is locked while its cluster lives, and gone afterwards.
struct PublicKubeconfig {
    path: PathBuf,
    _alive: File,
}

impl PublicKubeconfig {
    fn write(cluster: &Cluster, address: SocketAddr) -> Result<PublicKubeconfig, ClusterError> {
        let folder = cluster.programs().folder().join("kubeconfig");
        let failed = || |source| ClusterError::Io { what: format!("kubeconfig in {}", folder.display()), source };
        fs::create_dir_all(&folder).map_err(failed())?;
        remove_those_of_the_dead(&folder).map_err(failed())?;
        // Not by the port: clusters of several sandboxes may have the same one, each in a network of its own.
        let path = folder.join(cluster.name());
        let alive = claim(&path).map_err(failed())?;
        cluster.kubeconfig().with_server(&format!("https://{address}")).write(&path)?;
        Ok(PublicKubeconfig { path, _alive: alive })
    }
}

impl Drop for PublicKubeconfig {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("left behind: {}: {error}", self.path.display());
        }
    }
}

/// A new file that only its owner may read, and the lock on it.
fn claim(path: &Path) -> std::io::Result<File> {
    loop {
        let file = File::options().create(true).append(true).mode(0o600).open(path)?;
        file.lock()?;
        // Somebody who tidies up may have taken it away before the lock was ours.
        let opened = file.metadata()?.ino();
        if path.metadata().is_ok_and(|present| present.ino() == opened) {
            return Ok(file);
        }
    }
}

fn remove_those_of_the_dead(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Gone already means that somebody else tidies up, too; locked, that the cluster lives.
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
