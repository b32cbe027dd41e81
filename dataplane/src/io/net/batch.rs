//! Buffers for `recvmmsg`, made once, and socket addresses to and from the kernel's form.

use crate::rtp::PACKET_MAX;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Octets of a receive buffer: one more than is accepted, so that the oversized are seen as such.
pub(crate) const BUFFER: usize = PACKET_MAX + 32;
/// Octets for ancillary data: an original destination address of either family fits.
const CONTROL: usize = 64;

/// An address in the kernel's form.
#[derive(Clone, Copy)]
pub(crate) struct RawAddr {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) len: libc::socklen_t,
}

impl RawAddr {
    pub(crate) fn zero() -> Self {
        // SAFETY: sockaddr_storage is plain octets; all zeros is a valid value (family unspecified).
        let storage = unsafe { std::mem::zeroed() };
        Self { storage, len: 0 }
    }
}

fn socklen(size: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(size).expect("addresses are short")
}

/// Into the kernel's form.
pub(crate) fn to_raw(addr: SocketAddr) -> RawAddr {
    let mut raw = RawAddr::zero();
    match addr {
        SocketAddr::V4(v4) => {
            let sin = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("small"),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is larger than, and aligned for, every address family's structure.
            unsafe { (&raw mut raw.storage).cast::<libc::sockaddr_in>().write(sin) };
            raw.len = socklen(size_of::<libc::sockaddr_in>());
        }
        SocketAddr::V6(v6) => {
            let sin6 = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).expect("small"),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut raw.storage).cast::<libc::sockaddr_in6>().write(sin6) };
            raw.len = socklen(size_of::<libc::sockaddr_in6>());
        }
    }
    raw
}

/// The original destination in ancillary data, if that is what it begins with.
pub(crate) fn destination(control: &[u8]) -> Option<SocketAddr> {
    // `struct cmsghdr`: length, level, type.
    let len = usize::from_ne_bytes(control.get(..8)?.try_into().ok()?);
    let level = i32::from_ne_bytes(control.get(8..12)?.try_into().ok()?);
    let kind = i32::from_ne_bytes(control.get(12..16)?.try_into().ok()?);
    let known = matches!(
        (level, kind),
        (libc::SOL_IP, libc::IP_ORIGDSTADDR) | (libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR)
    );
    control.get(16..len.min(control.len())).filter(|_| known).and_then(address)
}

/// A socket address as octets.
pub(crate) fn address(octets: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(octets.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
    let ip: IpAddr = match family {
        libc::AF_INET => <[u8; 4]>::try_from(octets.get(4..8)?).ok()?.into(),
        libc::AF_INET6 => Ipv6Addr::from(<[u8; 16]>::try_from(octets.get(8..24)?).ok()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A batch of receive buffers.
pub(crate) struct Batch {
    buffers: Box<[[u8; BUFFER]]>,
    names: Box<[libc::sockaddr_storage]>,
    control: Box<[[u64; CONTROL / 8]]>,
    /// Points into the three above, which never move.
    headers: Box<[libc::mmsghdr]>,
    /// Pointed at by `headers`.
    _vectors: Box<[libc::iovec]>,
}

// SAFETY: the pointers in `headers` and `_vectors` point into boxes that this value owns and nobody else sees.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn new(packets: usize) -> Self {
        let mut buffers: Box<[[u8; BUFFER]]> = vec![[0; BUFFER]; packets].into();
        // SAFETY: all-zero sockaddr_storage is valid.
        let zero: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut names: Box<[_]> = vec![zero; packets].into();
        let mut control: Box<[_]> = vec![[0_u64; CONTROL / 8]; packets].into();
        let mut vectors: Box<[_]> = buffers
            .iter_mut()
            .map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: BUFFER })
            .collect();
        let headers = vectors
            .iter_mut()
            .zip(names.iter_mut().zip(control.iter_mut()))
            .map(|(vector, (name, control))| {
                // SAFETY: all-zero mmsghdr is valid: no name, no vectors, no control.
                let mut h: libc::mmsghdr = unsafe { std::mem::zeroed() };
                h.msg_hdr.msg_name = (&raw mut *name).cast();
                h.msg_hdr.msg_iov = &raw mut *vector;
                h.msg_hdr.msg_iovlen = 1;
                h.msg_hdr.msg_control = (&raw mut *control).cast();
                h
            })
            .collect();
        Self { buffers, names, control, headers, _vectors: vectors }
    }

    /// Reads what a socket holds, at most a batch, without waiting. How many came.
    pub(crate) fn receive(&mut self, fd: i32) -> usize {
        for h in &mut *self.headers {
            // The kernel writes the real lengths back, so they are set anew for each call.
            h.msg_hdr.msg_namelen = socklen(size_of::<libc::sockaddr_storage>());
            h.msg_hdr.msg_controllen = CONTROL;
        }
        let n = u32::try_from(self.headers.len()).expect("a batch is small");
        // SAFETY: `headers` holds `n` valid headers whose buffers, names and control areas this value owns.
        let got = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), n, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        usize::try_from(got).unwrap_or(0)
    }

    /// The octets of packet `i` of the last receive and where they came from.
    pub(crate) fn packet(&mut self, i: usize) -> (Option<SocketAddr>, &mut [u8]) {
        let name: *const libc::sockaddr_storage = &raw const self.names[i];
        // SAFETY: a sockaddr_storage is plain octets, readable for its whole size, all of them initialised.
        let octets =
            unsafe { std::slice::from_raw_parts(name.cast::<u8>(), size_of::<libc::sockaddr_storage>()) };
        let from = address(octets);
        let len = usize::try_from(self.headers[i].msg_len).unwrap_or(0).min(BUFFER);
        (from, &mut self.buffers[i][..len])
    }

    /// The original destination of packet `i` (`IP_ORIGDSTADDR`, `IPV6_ORIGDSTADDR`), if the socket tells it.
    pub(crate) fn destination(&self, i: usize) -> Option<SocketAddr> {
        let len = self.headers[i].msg_hdr.msg_controllen.min(CONTROL);
        destination(&bytemuck::cast_slice::<u64, u8>(&self.control[i])[..len])
    }

    pub(crate) fn len(&self) -> usize {
        self.headers.len()
    }
}
