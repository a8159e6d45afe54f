//! The address `::6` on the loopback interface, from which a sidecar calls its own application over IPv6. Of IPv4 the whole of
//! 127.0.0.0/8 is there without asking. It is set over netlink: the image that sets the redirect rules has no `ip`.

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;

/// All bits of an address are its network's.
const WHOLE: u8 = 128;
/// Lengths of `nlmsghdr`, `ifaddrmsg` and an `rtattr` with an address (netlink(7), rtnetlink(7)).
const LENGTHS: [u32; 3] = [16, 8, 4 + 16];

/// Gives the interface `lo` an address; one that it has already stays.
pub fn add(ip: Ipv6Addr) -> anyhow::Result<()> {
    change(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, ip)
        .with_context(|| format!("add {ip}/{WHOLE} to the loopback interface (NET_ADMIN is needed)"))
}

/// Takes it away; where it is not, nothing is to be done.
pub fn remove(ip: Ipv6Addr) -> anyhow::Result<()> {
    match change(libc::RTM_DELADDR, 0, ip) {
        Err(error) if error.downcast_ref() == Some(&Errno::EADDRNOTAVAIL) => Ok(()),
        done => done.with_context(|| format!("remove {ip}/{WHOLE} from the loopback interface")),
    }
}

fn change(kind: u16, flags: i32, ip: Ipv6Addr) -> anyhow::Result<()> {
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let message = message(kind, flags, ip, if_nametoindex("lo")?)?;
    sendto(kernel.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    match acknowledged(&answer[..length]) {
        Some(0) => Ok(()),
        Some(error) => Err(Errno::from_raw(-error).into()),
        None => bail!("the kernel's answer over netlink is none that is known: {:x?}", &answer[..length]),
    }
}

fn message(kind: u16, flags: i32, ip: Ipv6Addr, interface: u32) -> anyhow::Result<Vec<u8>> {
    let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK)?;
    let mut bytes = Vec::new();
    bytes.extend(LENGTHS.iter().sum::<u32>().to_ne_bytes());
    bytes.extend([kind, flags].map(u16::to_ne_bytes).concat());
    // Sequence number and sender: there is one question on this socket.
    bytes.extend([0; 8]);
    bytes.extend([u8::try_from(libc::AF_INET6)?, WHOLE, 0, libc::RT_SCOPE_UNIVERSE]);
    bytes.extend(interface.to_ne_bytes());
    bytes.extend([u16::try_from(LENGTHS[2])?, libc::IFA_ADDRESS].map(u16::to_ne_bytes).concat());
    bytes.extend(ip.octets());
    Ok(bytes)
}

/// The code in `NLMSG_ERROR`: 0 for done, a negative error number else.
fn acknowledged(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (i32::from(kind) == libc::NLMSG_ERROR).then_some(code)
}
