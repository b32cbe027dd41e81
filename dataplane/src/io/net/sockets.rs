//! The default backend: one receiving UDP socket per worker, fed by an `SK_LOOKUP` program over the port range, and one
//! raw sending socket that writes whole packets, both in batches. No system call per bearer.

use super::batch::{Batch, RawAddr, to_raw};
use super::bpf::{self, MapKind, ProgramKind};
use super::ports::set_option;
use super::wire::{HEADROOM, encapsulate};
use super::{PortRange, Refusal, Step, refused};
use crate::net::{Arrival, Channel, Net, NetCounts, NetError};
use crate::rtp::PACKET_MAX;
use crate::spec::Rtp;
use std::fs::File;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Packets in a batch, each way.
const BATCH: usize = 256;
/// Socket buffers asked for, octets: half a second of 8,000 bearers with the kernel's overhead.
const BUFFER_OCTETS: i32 = 64 << 20;

/// The program and the map that steer packets; they work as long as this lives.
#[derive(Debug)]
pub struct Steering {
    _link: OwnedFd,
    _program: OwnedFd,
    _map: OwnedFd,
}

/// The sockets of one worker.
#[derive(Debug)]
pub struct Pair {
    pub(crate) receive: OwnedFd,
    pub(crate) send: OwnedFd,
    /// Octets of the IP header that the kernel writes before ours: 20, or 0 where we write the header.
    pub(crate) theirs: usize,
}

/// Makes the sockets of all workers and steers the range to them.
///
/// # Errors
/// Which step the kernel refused, as without `CAP_NET_RAW` or `CAP_BPF`.
pub fn prepare(ip: IpAddr, range: &PortRange, workers: u16) -> Result<(Steering, Vec<Pair>), Refusal> {
    let pairs = (0..workers).map(|_| pair(ip)).collect::<Result<Vec<_>, _>>()?;
    let map = bpf::make_map(MapKind::Sockets, u32::from(workers)).map_err(refused(Step::Map))?;
    for (key, pair) in (0..).zip(&pairs) {
        bpf::put_socket(&map, key, pair.receive.as_raw_fd()).map_err(refused(Step::Map))?;
    }
    let program = bpf::sk_lookup(&map, range.first, range.last, workers, ip);
    let program = bpf::load(ProgramKind::SkLookup, &program).map_err(refused(Step::Program))?;
    let namespace = File::open("/proc/self/ns/net").map_err(refused(Step::Attach))?;
    let link = bpf::attach(&program, namespace.as_raw_fd(), ProgramKind::SkLookup, 0)
        .map_err(refused(Step::Attach))?;
    if !arrives(ip, range, &pairs) {
        return Err(Refusal { step: Step::Taken, errno: 0 });
    }
    Ok((Steering { _link: link, _program: program, _map: map }, pairs))
}

/// Sends an octet to the range and looks whether it comes: another program attached before ours may take it away.
fn arrives(ip: IpAddr, range: &PortRange, pairs: &[Pair]) -> bool {
    let to = match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let Ok(from) = UdpSocket::bind((to, 0)) else { return false };
    if from.send_to(&[0], (to, range.last)).is_err() {
        return false;
    }
    for _ in 0..50 {
        for pair in pairs {
            let mut octet = 0_u8;
            let (fd, at) = (pair.receive.as_raw_fd(), &raw mut octet);
            // SAFETY: one octet is writable at `at`.
            if unsafe { libc::recv(fd, at.cast(), 1, libc::MSG_DONTWAIT) } >= 0 {
                return true;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    false
}

fn pair(ip: IpAddr) -> Result<Pair, Refusal> {
    let receive = UdpSocket::bind((ip, 0)).map_err(refused(Step::Socket))?;
    receive.set_nonblocking(true).map_err(refused(Step::Socket))?;
    let fd = receive.as_raw_fd();
    let told = match ip {
        IpAddr::V4(_) => set_option(fd, libc::SOL_IP, libc::IP_RECVORIGDSTADDR, 1),
        IpAddr::V6(_) => set_option(fd, libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR, 1),
    };
    if !told {
        return Err(refused(Step::Socket)(std::io::Error::last_os_error()));
    }
    enlarge(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
    let receive = OwnedFd::from(receive);
    if let Some(send) = headed_by_the_kernel(ip) {
        return Ok(Pair { receive, send, theirs: 20 });
    }
    let (family, kind) = if ip.is_ipv6() { (libc::AF_INET6, 36) } else { (libc::AF_INET, 0) };
    // SAFETY: no pointers; the result is checked.
    let raw = unsafe {
        libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, libc::IPPROTO_RAW)
    };
    if raw < 0 {
        return Err(refused(Step::Raw)(std::io::Error::last_os_error()));
    }
    // SAFETY: just made, valid, nobody else's.
    let send = unsafe { OwnedFd::from_raw_fd(raw) };
    // IPV6_HDRINCL is 36; an IPv4 socket of IPPROTO_RAW includes headers already.
    if kind != 0 && !set_option(raw, libc::IPPROTO_IPV6, kind, 1) {
        return Err(refused(Step::Raw)(std::io::Error::last_os_error()));
    }
    enlarge(raw, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
    super::ports::probe(raw, ip.is_ipv6());
    Ok(Pair { receive, send, theirs: 0 })
}

/// A raw socket before whose UDP packets the kernel writes the IPv4 header: it then takes its cached route, where for
/// a header of ours it makes and frees one for each packet. The source is the address bound, so there must be one.
fn headed_by_the_kernel(ip: IpAddr) -> Option<OwnedFd> {
    let IpAddr::V4(ip) = ip else { return None };
    if ip.is_unspecified() {
        return None;
    }
    // SAFETY: no pointers; the result is checked.
    let raw = unsafe {
        libc::socket(
            libc::AF_INET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            libc::IPPROTO_UDP,
        )
    };
    if raw < 0 {
        return None;
    }
    // SAFETY: just made, valid, nobody else's.
    let send = unsafe { OwnedFd::from_raw_fd(raw) };
    let local = to_raw((ip, 0).into());
    // SAFETY: `local` is an address of the length that is told.
    let bound = unsafe { libc::bind(raw, (&raw const local.storage).cast(), local.len) } == 0;
    // Connected to one that never sends (RFC 5737 §3, or a loopback address nobody uses), it is not given copies of
    // all UDP that arrives; packets are still sent where each one says.
    let silent = if ip.is_loopback() { [127, 255, 255, 254] } else { [192, 0, 2, 1] };
    let peers = [to_raw((silent, 0).into()), local];
    // SAFETY: as above.
    let deaf = peers.iter().any(|p| unsafe { libc::connect(raw, (&raw const p.storage).cast(), p.len) } == 0);
    // DSCP 46, expedited forwarding (RFC 4594 §4.1), as in the header that we write.
    let marked = set_option(raw, libc::IPPROTO_IP, libc::IP_TOS, 0xb8);
    let drops = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: drops.as_ptr().cast_mut() };
    let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).ok()?;
    // SAFETY: a filter of one instruction (return 0: keep nothing), readable during the call.
    let shut = unsafe {
        libc::setsockopt(raw, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const program).cast(), size)
    } == 0;
    enlarge(raw, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
    super::ports::probe(raw, false);
    (bound && deaf && marked && shut).then_some(send)
}

/// A buffer beyond the system's maximum where allowed, else as much as it gives.
fn enlarge(fd: i32, force: i32, ask: i32) {
    if !set_option(fd, libc::SOL_SOCKET, force, BUFFER_OCTETS) {
        set_option(fd, libc::SOL_SOCKET, ask, BUFFER_OCTETS);
    }
}

/// Which place a port belongs to and which address a place has: shared by all backends with steered ports.
#[derive(Debug)]
pub(crate) struct Map {
    first: u16,
    by_port: Box<[u32]>,
    locals: Box<[Option<SocketAddr>]>,
}

const NOBODY: u32 = u32::MAX;

impl Map {
    pub(crate) fn new(range: &PortRange, places: u32) -> Self {
        let pairs = usize::from((range.last - range.first) / 2 + 1);
        let locals = (0..places).map(|_| None).collect();
        Self { first: range.first & !1, by_port: vec![NOBODY; pairs].into(), locals }
    }

    fn pair(&self, port: u16) -> Option<usize> {
        port.checked_sub(self.first).map(|p| usize::from(p / 2))
    }

    pub(crate) fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError> {
        self.detach(place);
        let pair = self.pair(rtp.local.port()).ok_or(NetError::Unfit)?;
        let slot = self.by_port.get_mut(pair).ok_or(NetError::Unfit)?;
        let local =
            usize::try_from(place).ok().and_then(|i| self.locals.get_mut(i)).ok_or(NetError::Place)?;
        *slot = place;
        *local = Some(rtp.local);
        Ok(())
    }

    pub(crate) fn detach(&mut self, place: u32) {
        let Some(local) =
            usize::try_from(place).ok().and_then(|i| self.locals.get_mut(i)).and_then(Option::take)
        else {
            return;
        };
        if let Some(slot) = self.pair(local.port()).and_then(|p| self.by_port.get_mut(p))
            && *slot == place
        {
            *slot = NOBODY;
        }
    }

    /// Whose a destination is.
    pub(crate) fn find(&self, to: SocketAddr) -> Option<(u32, Channel)> {
        let place = *self.by_port.get(self.pair(to.port())?)?;
        let local = (*self.locals.get(usize::try_from(place).ok()?)?)?;
        let channel = if to.port() == local.port() { Channel::Rtp } else { Channel::Rtcp };
        (local.ip() == to.ip() || local.ip().is_unspecified()).then_some((place, channel))
    }

    pub(crate) fn local(&self, place: u32, channel: Channel) -> Option<SocketAddr> {
        let mut local = (*self.locals.get(usize::try_from(place).ok()?)?)?;
        if channel == Channel::Rtcp {
            local.set_port(local.port().saturating_add(1));
        }
        Some(local)
    }
}

const TX_BUFFER: usize = HEADROOM + PACKET_MAX;

/// Whole packets waiting to be sent.
pub(crate) struct Outbox {
    buffers: Box<[[u8; TX_BUFFER]]>,
    names: Box<[RawAddr]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    used: usize,
    id: u16,
    /// Octets of the header that are left to the kernel.
    theirs: usize,
}

// SAFETY: the pointers in `vectors` and `headers` point into boxes that this value owns and nobody else sees.
unsafe impl Send for Outbox {}

impl Outbox {
    pub(crate) fn new(packets: usize, theirs: usize) -> Self {
        let mut buffers: Box<[_]> = vec![[0; TX_BUFFER]; packets].into();
        let mut names: Box<[_]> = vec![RawAddr::zero(); packets].into();
        let mut vectors: Box<[_]> = buffers
            .iter_mut()
            .map(|b: &mut [u8; TX_BUFFER]| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: 0 })
            .collect();
        let headers = vectors
            .iter_mut()
            .zip(names.iter_mut())
            .map(|(vector, name)| {
                // SAFETY: all-zero mmsghdr is valid: no name, no vectors, no control.
                let mut h: libc::mmsghdr = unsafe { std::mem::zeroed() };
                h.msg_hdr.msg_name = (&raw mut name.storage).cast();
                h.msg_hdr.msg_iov = &raw mut *vector;
                h.msg_hdr.msg_iovlen = 1;
                h
            })
            .collect();
        Self { buffers, names, vectors, headers, used: 0, id: 1, theirs }
    }

    /// Puts a packet in; false if the families differ. Flush first when [`Self::full`].
    pub(crate) fn put(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> bool {
        let i = self.used;
        let buffer = &mut self.buffers[i];
        let len = write(&mut buffer[HEADROOM..]).min(PACKET_MAX);
        // Zero would make the kernel choose one.
        self.id = self.id.wrapping_add(1).max(1);
        let Some(start) = encapsulate(buffer, len, from, to, self.id) else { return false };
        let start = start + self.theirs;
        self.vectors[i].iov_base = buffer[start..].as_mut_ptr().cast();
        self.vectors[i].iov_len = HEADROOM + len - start;
        // A raw socket takes a port of IPv6 for a protocol number.
        self.names[i] = to_raw(SocketAddr::new(to.ip(), 0));
        self.headers[i].msg_hdr.msg_namelen = self.names[i].len;
        self.used += 1;
        true
    }

    /// What waits, with where it goes.
    pub(crate) fn packets(&self) -> impl Iterator<Item = (&[u8], &RawAddr)> {
        let all = self.vectors.iter().zip(&self.buffers).zip(&self.names).take(self.used);
        all.map(|((vector, buffer), name)| {
            let start = vector.iov_base.addr() - buffer.as_ptr().addr();
            (&buffer[start..start + vector.iov_len], name)
        })
    }

    /// Forgets what was sent.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    pub(crate) fn full(&self) -> bool {
        self.used == self.headers.len()
    }

    /// Sends all; how many the kernel took and how many not.
    pub(crate) fn flush(&mut self, fd: i32) -> (u64, u64) {
        let (mut at, mut failed) = (0, 0);
        while at < self.used {
            let n = u32::try_from(self.used - at).expect("a batch is small");
            // SAFETY: headers `at..used` are valid and point at octets and addresses of ours.
            let sent = unsafe { libc::sendmmsg(fd, self.headers[at..].as_mut_ptr(), n, libc::MSG_DONTWAIT) };
            // A refusal concerns the first packet of the rest (no route, a full queue): leave it out, go on.
            let done = usize::try_from(sent).unwrap_or(0);
            if done == 0 {
                failed += 1;
                at += 1;
            }
            at += done;
        }
        let all = u64::try_from(self.used).expect("a batch is small");
        self.used = 0;
        (all - failed, failed)
    }
}

/// See the module.
pub struct Shared {
    pair: Pair,
    map: Map,
    batch: Batch,
    outbox: Outbox,
    counts: NetCounts,
}

impl Shared {
    /// For one worker, with its sockets from [`prepare`].
    #[must_use]
    pub fn new(pair: Pair, range: &PortRange, places: u32) -> Self {
        Self {
            map: Map::new(range, places),
            batch: Batch::new(BATCH),
            outbox: Outbox::new(BATCH, pair.theirs),
            pair,
            counts: NetCounts::default(),
        }
    }

    pub(crate) fn map(&self) -> &Map {
        &self.map
    }

    pub(crate) fn count_failed(&mut self) {
        self.counts.send_failed += 1;
    }
}

impl Net for Shared {
    fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError> {
        self.map.attach(place, rtp)
    }

    fn detach(&mut self, place: u32) {
        self.map.detach(place);
    }

    fn receive(&mut self, _due: Range<u32>, sink: &mut impl FnMut(Arrival<'_>)) {
        loop {
            let got = self.batch.receive(self.pair.receive.as_raw_fd());
            for i in 0..got {
                let found = self.batch.destination(i).and_then(|to| self.map.find(to));
                let (from, bytes) = self.batch.packet(i);
                match (found, from) {
                    (Some((place, channel)), Some(from)) => {
                        self.counts.received += 1;
                        sink(Arrival { place, channel, from, bytes });
                    }
                    _ => self.counts.stray += 1,
                }
            }
            if got < self.batch.len() {
                return;
            }
        }
    }

    fn send(&mut self, place: u32, channel: Channel, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        let Some(from) = self.map.local(place, channel) else {
            self.counts.send_failed += 1;
            return;
        };
        if self.outbox.full() {
            self.flush();
        }
        if !self.outbox.put(from, to, write) {
            self.counts.send_failed += 1;
        }
    }

    fn flush(&mut self) {
        let (sent, failed) = self.outbox.flush(self.pair.send.as_raw_fd());
        self.counts.sent += sent;
        self.counts.send_failed += failed;
    }

    fn counts(&self) -> NetCounts {
        self.counts
    }
}
