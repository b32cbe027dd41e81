//! Pairs of UDP ports for bearers, RTP even and RTCP odd (RFC 3550 §11), drawn at random so that an attacker cannot
//! guess them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use units::Rng;

/// Draws before giving up: at nine tenths full this fails once in a hundred thousand.
const DRAWS: u32 = 128;

/// A bound pair.
#[derive(Debug)]
pub struct Pair {
    /// RTP, at an even port.
    pub rtp: UdpSocket,
    /// RTCP, at the next one.
    pub rtcp: UdpSocket,
    /// The RTP socket's address.
    pub local: SocketAddr,
}

/// Binds a random free pair within `range`.
///
/// # Errors
/// The last refusal of the kernel, when no draw was free.
pub fn bind_pair(ip: IpAddr, range: &RangeInclusive<u16>, rng: &mut Rng) -> std::io::Result<Pair> {
    let first = range.start().div_ceil(2);
    let pairs = u64::from(range.end().saturating_sub(1) / 2 + 1).saturating_sub(u64::from(first));
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    if pairs == 0 {
        return Err(last);
    }
    for _ in 0..DRAWS {
        let port = (first + u16::try_from(rng.below(pairs)).expect("below 2^15")) * 2;
        match bind(SocketAddr::new(ip, port)) {
            Ok(pair) => return Ok(pair),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// Which part of a steered range one shard has on one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) worker: u32,
    pub(crate) workers: u32,
    pub(crate) shard: u32,
    pub(crate) shards: u32,
}

/// The RTP ports of a share: those that the steering brings to the worker, dealt to the shards in turn.
pub(crate) fn steered(range: &RangeInclusive<u16>, share: Share) -> Vec<u16> {
    let mine = |port: &u16| {
        let pair = u32::from(port / 2);
        pair % share.workers == share.worker && pair / share.workers % share.shards == share.shard
    };
    range.clone().filter(|port| port.is_multiple_of(2) && port < range.end()).filter(mine).collect()
}

/// A random one of the free ports.
pub(crate) fn draw(free: &mut Vec<u16>, rng: &mut Rng) -> Option<u16> {
    let n = u64::try_from(free.len()).ok().filter(|n| *n > 0)?;
    Some(free.swap_remove(usize::try_from(rng.below(n)).ok()?))
}

fn bind(local: SocketAddr) -> std::io::Result<Pair> {
    let rtp = UdpSocket::bind(local)?;
    let rtcp = UdpSocket::bind(SocketAddr::new(local.ip(), local.port() + 1))?;
    for socket in [&rtp, &rtcp] {
        socket.set_nonblocking(true)?;
        probe(socket.as_raw_fd(), local.is_ipv6());
    }
    Ok(Pair { rtp, rtcp, local })
}

/// Sets the path MTU discovery that costs least (`IP_PMTUDISC_PROBE`: our packets never need to be split). Only speed
/// is lost where it is refused.
pub(crate) fn probe(fd: i32, v6: bool) {
    let (level, name, value) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
    } else {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    };
    set_option(fd, level, name, value);
}

/// Sets an integer socket option; false if the kernel refuses.
pub(crate) fn set_option(fd: i32, level: i32, name: i32, value: i32) -> bool {
    let size = libc::socklen_t::try_from(size_of::<i32>()).expect("four");
    // SAFETY: `value` is a readable integer of the size that is told.
    unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) == 0 }
}
