//! The network and mount namespaces of one pod: made by a thread that stays in them, entered by others for a moment.
//! Processes are started from a thread that is inside, so that they inherit them.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Pid, gettid};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// A network namespace with a mount namespace; those that we made end with the last process and the last handle.
#[derive(Debug)]
pub struct Namespaces {
    network: File,
    mounts: File,
    keeper: Pid,
    /// Dropped with us; a keeper thread of our own waits for that.
    _alive: Option<mpsc::Sender<()>>,
}

/// A file that shall be seen in another place inside.
#[derive(Debug, Clone)]
pub struct Bind {
    /// What is seen.
    pub from: PathBuf,
    /// Where; nothing happens when nothing is there.
    pub to: PathBuf,
}

impl Namespaces {
    /// New namespaces with nothing in them but a loopback interface that is down.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn create(binds: Vec<Bind>) -> io::Result<Namespaces> {
        let (made, wait) = mpsc::sync_channel(1);
        let (alive, ended) = mpsc::channel::<()>();
        std::thread::Builder::new().name("namespaces".to_owned()).spawn(move || {
            let result = unshare_here(&binds);
            let go_on = result.is_ok();
            let _ = made.send(result);
            if go_on {
                // Until the sender is dropped. The thread's id is how `ip` finds the network namespace.
                let _ = ended.recv();
            }
        })?;
        let (network, mounts, keeper) = wait.recv().map_err(|_| io::Error::other("the namespace thread died"))??;
        Ok(Namespaces { network, mounts, keeper, _alive: Some(alive) })
    }

    /// The network of a process that others started, such as a container, with our own mounts.
    ///
    /// # Errors
    /// When it has ended.
    pub fn network_of(process: i32) -> io::Result<Namespaces> {
        let network = File::open(format!("/proc/{process}/ns/net"))?;
        let mounts = File::open("/proc/thread-self/ns/mnt")?;
        Ok(Namespaces { network, mounts, keeper: Pid::from_raw(process), _alive: None })
    }

    /// A thread id by which `ip link ... netns <id>` finds the network namespace.
    pub fn id(&self) -> i32 {
        self.keeper.as_raw()
    }

    /// Runs something on a thread of its own that is inside both namespaces. Sockets that it opens stay inside for
    /// ever, wherever they are used later; processes that it starts run inside.
    ///
    /// # Errors
    /// When the kernel does not let us in.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || {
            setns(&self.network, CloneFlags::CLONE_NEWNET)?;
            // A thread shares its working directory with its process, which the next step does not allow.
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.mounts, CloneFlags::CLONE_NEWNS)?;
            Ok::<T, io::Error>(work())
        };
        std::thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A TCP connection from inside; redirect rules apply to it as to the application's.
    ///
    /// # Errors
    /// As of the connection.
    pub fn connect(&self, address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        self.enter(|| TcpStream::connect_timeout(&address, timeout))?
    }

    /// A TCP listener inside.
    ///
    /// # Errors
    /// As of the listener.
    pub fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.enter(|| TcpListener::bind(address))?
    }
}

fn unshare_here(binds: &[Bind]) -> io::Result<(File, File, Pid)> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for bind in binds {
        // A system without the file, or with a link that leads nowhere, has nothing to hide.
        if let Ok(target) = bind.to.canonicalize() {
            mount(Some(&bind.from), &target, none, MsFlags::MS_BIND, none)?;
        }
    }
    Ok((File::open("/proc/thread-self/ns/net")?, File::open("/proc/thread-self/ns/mnt")?, gettid()))
}
