//! What goes over a pod's wire: a packet socket on its side of the veth pair.

use crate::error::LabError;
use crate::namespaces::Namespaces;
use nix::sys::socket::sockopt::{RcvBuf, ReceiveTimeout};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket};
use nix::sys::time::{TimeVal, TimeValLike};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A capture that runs until it is stopped.
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

/// The bytes of one TCP segment that carried some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What a capture saw: Ethernet frames, in order.
#[derive(Debug, Clone, Default)]
pub struct Frames(pub Vec<Vec<u8>>);

impl Capture {
    /// Starts to capture all frames of the namespace, loopback's included: what the application and its own sidecar say
    /// to one another is seen too. [`Frames::on_wire`] leaves that out.
    pub(crate) fn start(namespaces: &Namespaces) -> Result<Capture, LabError> {
        let opened = namespaces.enter(open).and_then(|opened| opened);
        let packets = opened.map_err(LabError::io("open a packet socket"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || collect(&packets, &stopping));
        Ok(Capture { stop, thread })
    }

    /// Ends the capture and returns what it saw.
    pub fn stop(self) -> Frames {
        self.stop.store(true, Ordering::Relaxed);
        Frames(self.thread.join().unwrap_or_default())
    }
}

fn open() -> std::io::Result<OwnedFd> {
    let packets = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    setsockopt(&packets, ReceiveTimeout, &TimeVal::milliseconds(50))?;
    setsockopt(&packets, RcvBuf, &(8 << 20))?;
    Ok(packets)
}

fn collect(packets: &OwnedFd, stop: &AtomicBool) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match recv(packets.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(size) => frames.push(buffer[..size].to_vec()),
            // Only an empty queue ends it: what was sent before the stop is in.
            Err(_) if stop.load(Ordering::Relaxed) => return frames,
            Err(_) => {}
        }
    }
}

impl Frames {
    /// The TCP payloads that crossed the veth, both directions, without those of loopback.
    pub fn on_wire(&self) -> Vec<Segment> {
        self.0.iter().filter(|frame| frame.get(..12) != Some(&[0; 12])).filter_map(|frame| segment(frame)).collect()
    }

    /// Writes them in the classic pcap format, for tcpdump and Wireshark.
    ///
    /// # Errors
    /// As of writing the file.
    pub fn write_pcap(&self, file: &Path) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        // Magic, version 2.4, zone, accuracy, longest frame, link type Ethernet.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 1 << 17, 1] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for frame in &self.0 {
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            for word in [0, 0, length, length] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            bytes.extend_from_slice(frame);
        }
        std::fs::write(file, bytes)
    }
}

/// The TCP payload of an Ethernet frame; `None` for anything else or no payload.
fn segment(frame: &[u8]) -> Option<Segment> {
    let (source, destination, tcp) = match word(frame, 12)? {
        0x0800 => v4(frame.get(14..)?)?,
        0x86dd => v6(frame.get(14..)?)?,
        _ => return None,
    };
    let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    if payload.is_empty() {
        return None;
    }
    Some(Segment {
        source: SocketAddr::new(source, word(tcp, 0)?),
        destination: SocketAddr::new(destination, word(tcp, 2)?),
        payload: payload.to_vec(),
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Source, destination and TCP segment of a packet.
fn v4(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let packet = packet.get(..usize::from(word(packet, 2)?))?;
    if *packet.get(9)? != 6 {
        return None;
    }
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    Some((address(12)?.into(), address(16)?.into(), packet.get(header..)?))
}

/// The same of version 6, without extension headers: nothing here writes them.
fn v6(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let packet = packet.get(..40 + usize::from(word(packet, 4)?))?;
    if *packet.get(6)? != 6 {
        return None;
    }
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
    Some((address(8)?.into(), address(24)?.into(), packet.get(40..)?))
}

#[cfg(test)]
mod tests {
    use super::{Frames, Segment};
    use std::net::{Ipv4Addr, SocketAddr};

    fn frame(mac: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![mac; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        let total = u8::try_from(40 + payload.len()).unwrap_or(u8::MAX);
        frame.extend([0, total, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x1f, 0x90, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        frame.extend([0, 0]); // Ethernet padding is not payload
        frame
    }

    #[test]
    fn only_payloads_that_crossed_the_wire_count() {
        let frames = Frames(vec![frame(2, b"hi"), frame(2, b""), frame(0, b"local"), vec![1, 2, 3]]);
        let expected = Segment {
            source: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 8080)),
            destination: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 80)),
            payload: b"hi".to_vec(),
        };
        assert_eq!(frames.on_wire(), vec![expected]);
    }
}
