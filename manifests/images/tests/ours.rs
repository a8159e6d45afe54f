//! The two images of Meltemi with the system's own `env` in the program's place: what they hold, and that iptables works
//! with nothing but what is in the init image.
#![allow(clippy::unwrap_used, missing_docs)]

use images::ours;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tar::Archive;

/// Any program that is linked to the C library will do.
const PROGRAM: &str = "/usr/bin/env";

/// The layer of an image, unpacked.
fn unpack(image: &images::Image) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    image.clone().uncompressed().write(&archive).unwrap();
    let root = tempfile::tempdir().unwrap();
    // The layer is the largest of the blobs.
    Archive::new(std::fs::File::open(archive).unwrap()).unpack(folder.path()).unwrap();
    let blobs = std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().map(Result::unwrap);
    let layer = blobs.max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
    Archive::new(std::fs::File::open(layer.path()).unwrap()).unpack(root.path()).unwrap();
    root
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A network namespace of its own, in which programs of an image run with the image as their root.
struct Sandbox {
    /// A `cat` that ends with its input.
    holder: Child,
}

/// Only root may use every user id; others are root in a user namespace that knows no other.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

impl Sandbox {
    /// `None`, said on standard error, where this machine does not allow it. CI must.
    fn new() -> Option<Sandbox> {
        let flags = if is_root() { vec!["--net"] } else { vec!["--map-root-user", "--net"] };
        let mut unshare = Command::new("unshare");
        let holder = unshare.args(flags).arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut sandbox = Sandbox { holder };
        // An answer of `cat` shows that the namespace is there.
        let asked = sandbox.holder.stdin.as_mut().unwrap().write_all(b"x");
        let answered = asked.and_then(|()| sandbox.holder.stdout.as_mut().unwrap().read_exact(&mut [0]));
        if answered.is_ok() {
            return Some(sandbox);
        }
        assert!(std::env::var_os("CI").is_none(), "CI must let tests make network namespaces");
        eprintln!("not run: network namespaces are not allowed here");
        None
    }

    fn run(&self, root: &Path, command: &[&str], input: &str) -> Output {
        let target = format!("--target={}", self.holder.id());
        let flags = if is_root() { vec!["--net"] } else { vec!["--user", "--preserve-credentials", "--net"] };
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(target).args(flags).arg("chroot").arg(root).args(command);
        let mut child = nsenter.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who ends without reading its input says why on standard error.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_image_holds_the_program_its_libraries_and_no_other_program() {
    let root = unpack(&ours::meltemi(Path::new(PROGRAM)).unwrap());
    assert_eq!(names(root.path()), ["dev", "etc", "lib", "lib64", "meltemi", "proc", "sys", "tmp", "usr"]);
    assert_eq!(names(&root.path().join("usr")), ["share"]);
    let notice = std::fs::read_to_string(root.path().join("usr/share/doc/meltemi/NOTICE")).unwrap();
    assert!(notice.contains("\nlibc6 "), "{notice}");
    assert!(root.path().join("usr/share/doc/libc6/copyright").is_file());
}

#[test]
fn the_program_runs_with_nothing_but_the_image() {
    let Some(sandbox) = Sandbox::new() else { return };
    let root = unpack(&ours::meltemi(Path::new(PROGRAM)).unwrap());
    let output = sandbox.run(root.path(), &["/meltemi", "--version"], "");
    assert!(output.status.success(), "{}", errors(&output));
}

/// Each line is of a kind that redirect rules have: a target, a match, an extension. They read as iptables-save prints them.
const RULES: [&str; 7] = [
    "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
    "-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN",
    "-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN",
    "-A ISTIO_OUTPUT -m mark --mark 0x539 -j RETURN",
    "-A ISTIO_OUTPUT -p tcp -m multiport --dports 22,25 -j RETURN",
    "-A ISTIO_OUTPUT -p tcp -m tcp ! --dport 15008 -j ISTIO_REDIRECT",
    "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
];

#[test]
fn redirect_rules_can_be_set_and_read_back_with_nothing_but_the_init_image() {
    let Some(sandbox) = Sandbox::new() else { return };
    let root = unpack(&ours::init(Path::new(PROGRAM)).unwrap());
    let id = if is_root() { "1337" } else { "0" };
    let rules = RULES.map(|rule| rule.replace("owner 1337", &format!("owner {id}")));
    let text = format!("*nat\n:ISTIO_REDIRECT - [0:0]\n:ISTIO_OUTPUT - [0:0]\n{}\nCOMMIT\n", rules.join("\n"));
    for family in ["iptables", "ip6tables"] {
        let set = sandbox.run(root.path(), &[&format!("/usr/sbin/{family}-restore"), "--noflush"], &text);
        assert!(set.status.success(), "{family}-restore: {}", errors(&set));
        let saved = sandbox.run(root.path(), &[&format!("/usr/sbin/{family}-save"), "-t", "nat"], "");
        assert!(saved.status.success(), "{family}-save: {}", errors(&saved));
        let saved = String::from_utf8(saved.stdout).unwrap();
        for rule in &rules {
            assert!(saved.contains(rule.as_str()), "{family} has no {rule}: {saved}");
        }
    }
}
