//! TDM over Ethernet as a card: [`crate::tdm::oe`] over a raw socket on an interface (needs `CAP_NET_RAW`), or over Unix
//! datagrams, for a peer on the same host.
//!
//! We are the 1 kHz clock: one packet a span and exchange, whatever comes. A peer that is slower or faster slips, and the
//! slips are counted. Nothing here blocks.

use crate::card::{Card, CardError, CardInfo, CardReport, Offload, SpanKind, Tick};
use crate::tdm::oe::{Buffer, Counts, ETHER_TYPE, PACKET_MAX, Packet, Port};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// One span of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// T1 or E1.
    pub kind: SpanKind,
    /// Which packets are its.
    pub subaddress: u16,
    /// Slots with HDLC, from 1.
    pub d_channels: Vec<u8>,
}

/// How packets travel.
#[derive(Debug)]
enum Line {
    /// A packet socket, and the Ethernet header that each packet begins with.
    Ethernet { socket: OwnedFd, header: [u8; 14] },
    /// A Unix socket of ours, the peer's name, and what found its queue full: the kernel keeps ten datagrams by default.
    Unix { socket: UnixDatagram, own: PathBuf, peer: PathBuf, waiting: VecDeque<([u8; PACKET_MAX], usize)> },
}

/// See the module.
#[derive(Debug)]
pub struct Tdmoe {
    info: CardInfo,
    line: Line,
    ports: Vec<Port>,
    next: usize,
}

/// Packets read of one exchange, at most: a burst after a pause fits.
const PACKETS_MAX: usize = 256;
/// Packets that wait for a peer on this host which does not read; then the oldest is lost.
const WAITING_MAX: usize = 128;

impl Tdmoe {
    /// On a network interface, to a peer's address.
    ///
    /// # Errors
    /// The operating system's: no such interface, or no right to packet sockets.
    pub fn ethernet(interface: &str, peer: [u8; 6], spans: &[Span]) -> std::io::Result<Self> {
        let socket = packet_socket()?;
        let (index, own) = interface_of(&socket, interface)?;
        bind(&socket, index)?;
        let mut header = [0; 14];
        header[..6].copy_from_slice(&peer);
        header[6..12].copy_from_slice(&own);
        header[12..].copy_from_slice(&ETHER_TYPE.to_be_bytes());
        let line = Line::Ethernet { socket, header };
        Ok(Self::new(format!("tdmoe {interface}"), line, spans, Buffer::WIRE))
    }

    /// Over Unix datagrams: `own` is made (and removed at the end), `peer` may come later.
    ///
    /// # Errors
    /// The operating system's.
    pub fn unix(own: &Path, peer: &Path, spans: &[Span]) -> std::io::Result<Self> {
        match std::fs::remove_file(own) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(own)?;
        socket.set_nonblocking(true)?;
        let waiting = VecDeque::with_capacity(WAITING_MAX);
        let line = Line::Unix { socket, own: own.to_owned(), peer: peer.to_owned(), waiting };
        Ok(Self::new(format!("tdmoe {}", own.display()), line, spans, Buffer::HOST))
    }

    fn new(name: String, line: Line, spans: &[Span], buffer: Buffer) -> Self {
        let info =
            CardInfo { name, spans: spans.iter().map(|s| s.kind).collect(), offload: Offload::default() };
        let ports = spans.iter().map(|s| Port::new(s.kind, s.subaddress, &s.d_channels, buffer)).collect();
        Self { info, line, ports, next: 0 }
    }

    /// What a span counted.
    #[must_use]
    pub fn counts(&self, span: u16) -> Option<Counts> {
        self.ports.get(usize::from(span)).map(Port::counts)
    }

    fn port(&mut self, span: u16) -> Option<&mut Port> {
        self.ports.get_mut(usize::from(span))
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        for _ in 0..PACKETS_MAX {
            let Some(octets) = self.line.receive(&mut buffer) else { return };
            let Some(packet) = Packet::parse(octets) else { continue };
            let port = self.ports.iter_mut().find(|p| p.subaddress() == packet.subaddress);
            if let Some(port) = port {
                port.receive(&packet);
            }
        }
    }
}

impl Card for Tdmoe {
    fn info(&self) -> &CardInfo {
        &self.info
    }

    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError> {
        let slots: usize = self.info.spans.iter().map(|s| usize::from(s.slots())).sum();
        let octets = tick.octets;
        let shaped = octets > 0 && octets.is_multiple_of(8) && octets <= crate::card::SLOT_OCTETS_MAX;
        if !shaped || tick.tx.len() != slots * octets || tick.rx.len() != slots * octets {
            return Err(CardError::Shape);
        }
        let mut one = [0; 32 * 8];
        let mut packet = [0; PACKET_MAX];
        self.receive();
        for part in (0..octets).step_by(8) {
            let mut first = 0;
            for port in &mut self.ports {
                let long = usize::from(port.kind().slots());
                let each = |n: usize| (first + n) * octets + part;
                for n in 0..long {
                    one[n * 8..n * 8 + 8].copy_from_slice(&tick.tx[each(n)..each(n) + 8]);
                }
                let len = port.send(&one, &mut packet);
                self.line.send(&packet[..len]);
                port.hear(&mut one[..long * 8]);
                for n in 0..long {
                    tick.rx[each(n)..each(n) + 8].copy_from_slice(&one[n * 8..n * 8 + 8]);
                }
                first += long;
            }
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<CardReport> {
        for _ in 0..self.ports.len() {
            if let Some(report) = self.ports[self.next].poll() {
                let span = u16::try_from(self.next).expect("spans are few");
                return Some(match report {
                    CardReport::Alarm { bits, .. } => CardReport::Alarm { span, bits },
                    CardReport::Bits { slot, abcd, .. } => CardReport::Bits { span, slot, abcd },
                    CardReport::Slip { frames, .. } => CardReport::Slip { span, frames },
                    other => other,
                });
            }
            self.next = (self.next + 1) % self.ports.len();
        }
        None
    }

    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        if let Some(port) = self.port(span) {
            port.set_bits(slot, abcd);
        }
    }

    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool {
        self.port(span).is_some_and(|p| p.send_frame(slot, frame))
    }

    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize> {
        self.port(span)?.receive_frame(slot, into)
    }
}

impl Line {
    /// A packet that cannot be sent is lost, as on any line: the peer counts it.
    fn send(&mut self, packet: &[u8]) {
        match self {
            Line::Ethernet { socket, header } => {
                let parts = [part(header), part(packet)];
                // SAFETY: an all-zero msghdr is one without name, parts and control.
                let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
                message.msg_iov = parts.as_ptr().cast_mut();
                message.msg_iovlen = parts.len();
                // SAFETY: the parts point to `header` and `packet`, which outlive the call; the kernel only reads them.
                unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
            }
            Line::Unix { socket, peer, waiting, .. } => {
                if waiting.len() == WAITING_MAX {
                    waiting.pop_front();
                }
                let mut kept = [0; PACKET_MAX];
                kept[..packet.len()].copy_from_slice(packet);
                waiting.push_back((kept, packet.len()));
                while let Some((octets, len)) = waiting.front() {
                    match socket.send_to(&octets[..*len], &*peer) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        // Sent, or there is nobody: then it is lost, as on a wire that is cut.
                        _ => waiting.pop_front(),
                    };
                }
            }
        }
    }

    /// The next packet without its Ethernet header; `None`: nothing now.
    fn receive<'a>(&self, buffer: &'a mut [u8; 2048]) -> Option<&'a [u8]> {
        match self {
            Line::Ethernet { socket, .. } => {
                // SAFETY: the buffer is writable and of the length told.
                let got = unsafe {
                    libc::recv(
                        socket.as_raw_fd(),
                        buffer.as_mut_ptr().cast(),
                        buffer.len(),
                        libc::MSG_DONTWAIT,
                    )
                };
                let got = usize::try_from(got).ok()?;
                Some(buffer[..got].get(14..).unwrap_or(&[]))
            }
            Line::Unix { socket, .. } => {
                let got = socket.recv(buffer).ok()?;
                Some(&buffer[..got])
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Line::Unix { own, .. } = self {
            // Already gone is as good.
            drop(std::fs::remove_file(own));
        }
    }
}

fn part(octets: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() }
}

fn packet_socket() -> std::io::Result<OwnedFd> {
    let protocol = i32::from(ETHER_TYPE.to_be());
    // SAFETY: no pointer is passed.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Index and hardware address of an interface.
fn interface_of(socket: &OwnedFd, name: &str) -> std::io::Result<(i32, [u8; 6])> {
    // SAFETY: an all-zero ifreq is an empty one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: `request` is a valid ifreq with a terminated name.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFINDEX, &raw mut request) } != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: SIOCGIFINDEX filled this field.
    let index = unsafe { request.ifr_ifru.ifru_ifindex };
    // SAFETY: as above.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) } != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: SIOCGIFHWADDR filled this field.
    let data = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    let mut own = [0; 6];
    for (to, from) in own.iter_mut().zip(data) {
        *to = from.to_ne_bytes()[0];
    }
    Ok((index, own))
}

fn bind(socket: &OwnedFd, index: i32) -> std::io::Result<()> {
    // SAFETY: an all-zero sockaddr_ll is an empty one.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(17);
    address.sll_protocol = ETHER_TYPE.to_be();
    address.sll_ifindex = index;
    let length = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(20);
    // SAFETY: `address` is a valid sockaddr_ll of the length told.
    match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn spans() -> Vec<Span> {
        let span = |subaddress, kind, d| Span { kind, subaddress, d_channels: vec![d] };
        vec![span(0, SpanKind::E1, 16), span(1, SpanKind::T1, 24)]
    }

    /// Runs two cards for so many milliseconds, each sending a count; what the second heard in slot 1 of each span.
    fn run(cards: &mut [Tdmoe; 2], ms: u8) -> [Vec<u8>; 2] {
        let mut heard = [Vec::new(), Vec::new()];
        let mut rx = vec![0; 55 * 8];
        for n in 0..ms {
            let tx = vec![n; rx.len()];
            for card in cards.iter_mut() {
                card.exchange(&mut Tick { octets: 8, rx: &mut rx, tx: &tx }).expect("the right shape");
            }
            heard[0].push(rx[0]);
            heard[1].push(rx[31 * 8]);
        }
        heard
    }

    fn judge(mut cards: [Tdmoe; 2]) {
        assert!(cards[0].send_frame(0, 16, &[1, 2, 3, 4]) && cards[0].send_frame(1, 24, &[5, 6, 7, 8, 9]));
        for heard in run(&mut cards, 60) {
            assert!(heard.windows(2).skip(24).all(|w| w[1] == w[0].wrapping_add(1)), "{heard:?}");
        }
        assert_eq!(cards[1].receive_frame(0, 16, &mut [0; 16]), Some(4));
        assert_eq!(cards[1].receive_frame(1, 24, &mut [0; 16]), Some(5));
        let counts = cards[1].counts(1).expect("a span");
        assert_eq!((counts.lost, counts.overruns), (0, 0), "{counts:?}");
        assert!(counts.received >= 58, "{counts:?}");
    }

    #[test]
    fn over_unix_datagrams_two_spans_pass_bit_for_bit() {
        let dir = tempfile::tempdir().expect("a place for sockets");
        let names = [dir.path().join("a"), dir.path().join("b")];
        let a = Tdmoe::unix(&names[0], &names[1], &spans()).expect("a socket");
        let b = Tdmoe::unix(&names[1], &names[0], &spans()).expect("a socket");
        judge([a, b]);
        assert!(!names[0].exists(), "the socket's name is taken away at the end");
    }

    #[test]
    fn over_ethernet_two_spans_pass_bit_for_bit() {
        // A pair of virtual interfaces of our own; without the right to make them this is skipped.
        let (a, b) = (
            format!("tdm{}a", std::process::id() % 100_000),
            format!("tdm{}b", std::process::id() % 100_000),
        );
        let ip = |args: &[&str]| Command::new("ip").args(args).output().is_ok_and(|o| o.status.success());
        if !ip(&["link", "add", &a, "type", "veth", "peer", "name", &b]) {
            println!("SKIPPED: no right to make virtual interfaces");
            return;
        }
        let made = [&a, &b].map(|name| ip(&["link", "set", name, "up"]));
        let mac = |name: &str| {
            let text = std::fs::read_to_string(format!("/sys/class/net/{name}/address")).unwrap_or_default();
            let mut octets = text.trim().split(':').map(|o| u8::from_str_radix(o, 16).unwrap_or(0));
            std::array::from_fn(|_| octets.next().unwrap_or(0))
        };
        let cards = [Tdmoe::ethernet(&a, mac(&b), &spans()), Tdmoe::ethernet(&b, mac(&a), &spans())];
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match cards {
            [Ok(one), Ok(two)] if made == [true; 2] => judge([one, two]),
            other => println!("SKIPPED: no packet sockets: {other:?}"),
        }));
        assert!(ip(&["link", "del", &a]), "our own interface goes");
        assert!(result.is_ok(), "{result:?}");
        assert!(Tdmoe::ethernet("no-such-if", [0; 6], &spans()).is_err());
    }
}
