//! The two images of Meltemi.
//!
//! `meltemi` holds the one program and its libraries, nothing else: no shell, no package manager, not root. It is the
//! control plane, the sidecar and the sample shop.
//!
//! `init` is a second image because redirect rules need programs that the first must not have: iptables, run as root with
//! NET_ADMIN in a pod's network namespace, once, before anything else of the pod starts. What runs for long beside the
//! application, and what the network reaches, stays without them.

use crate::debian::{self, Package};
use crate::{Image, ImageError};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The version of both images.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The user that the sidecar and the control plane run as; redirect rules know the sidecar's own traffic by it.
const USER: &str = "1337:1337";
const NOTICES: &str = "/usr/share/doc/meltemi";

/// The program `iptables`, under all names by which `meltemi init` or a person calls it.
const IPTABLES: &str = "/usr/sbin/xtables-nft-multi";
const IPTABLES_NAMES: [&str; 6] =
    ["iptables", "iptables-restore", "iptables-save", "ip6tables", "ip6tables-restore", "ip6tables-save"];
/// The extensions that the redirect rules use, besides what is built in. REDIRECT is a name of `libxt_NAT.so`.
const EXTENSIONS: [&str; 6] =
    ["libxt_REDIRECT.so", "libxt_mark.so", "libxt_multiport.so", "libxt_owner.so", "libxt_standard.so", "libxt_tcp.so"];

/// `docker.io/meltemi/meltemi`: the program as entrypoint, as user 1337.
///
/// # Errors
/// When the program or its libraries cannot be found.
pub fn meltemi(program: &Path) -> Result<Image, ImageError> {
    let image = base("docker.io/meltemi/meltemi", program)?.user(USER);
    with_notice(image, program)
}

/// `docker.io/meltemi/init`: the same program beside iptables, as root.
///
/// # Errors
/// When the program, iptables or their libraries cannot be found.
pub fn init(program: &Path) -> Result<Image, ImageError> {
    let mut image = base("docker.io/meltemi/init", program)?.program(IPTABLES, IPTABLES)?;
    for name in IPTABLES_NAMES {
        image = image.link(format!("/usr/sbin/{name}"), "xtables-nft-multi");
    }
    let folder = extensions()?;
    for name in EXTENSIONS {
        image = image.file(folder.join(name), folder.join(name), 0o644);
    }
    with_notice(image, program)
}

fn base(name: &str, program: &Path) -> Result<Image, ImageError> {
    let accounts = "root:x:0:0:root:/:/none\nmeltemi:x:1337:1337:meltemi:/:/none\n";
    Image::new(&format!("{name}:{VERSION}"))
        .entrypoint(["/meltemi"])
        .text("/etc/passwd", accounts)
        .text("/etc/group", "root:x:0:\nmeltemi:x:1337:\n")
        .text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        .program(program, "/meltemi")
}

/// Where iptables looks for its extensions: below the folder of this machine's architecture.
fn extensions() -> Result<PathBuf, ImageError> {
    let folder = PathBuf::from(format!("/usr/lib/{}-linux-gnu/xtables", std::env::consts::ARCH));
    match std::fs::metadata(&folder) {
        Ok(_) => Ok(folder),
        Err(source) => Err(ImageError::Read { path: folder, image: "init".to_owned(), source }),
    }
}

/// Adds Meltemi's licence, and for each package of Debian in the image its licences and where its source is.
fn with_notice(image: Image, program: &Path) -> Result<Image, ImageError> {
    let packages = debian::owners(image.sources().filter(|source| *source != program))?;
    let mut image = image.text(format!("{NOTICES}/LICENSE"), include_bytes!("../../../LICENSE").as_slice());
    for package in &packages {
        image = image.file(package.copyright(), package.copyright(), 0o644);
    }
    Ok(image.text(format!("{NOTICES}/NOTICE"), notice(&packages)))
}

fn notice(packages: &[Package]) -> String {
    let mut text = String::from(
        "/meltemi is Meltemi, under the Apache License 2.0 (LICENSE beside this file).\n\n\
         All other programs and libraries in this image are Debian's, unchanged. Some are under the GPL or LGPL. The licences\n\
         of each package are in /usr/share/doc/<package>/copyright. Its source is at\n\
         https://snapshot.debian.org/package/<source>/<version of the source>/.\n\n",
    );
    for package in packages {
        let Package { name, version, source, source_version } = package;
        let _ = writeln!(text, "{name} {version}, from source {source} {source_version}");
    }
    text
}
