//! `recvmmsg` and `sendmmsg` with kernel receive times, over buffers that are allocated once. IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Octets kept of a datagram; SIP messages are larger than RTP but rarely than this.
const DATAGRAM_MAX: usize = 4096;
const CONTROL: usize = 64;

/// Buffers for one batch.
pub(super) struct Batch {
    data: Vec<[u8; DATAGRAM_MAX]>,
    control: Vec<[u64; CONTROL / 8]>,
    addresses: Vec<libc::sockaddr_storage>,
    lengths: Vec<usize>,
    stamps: Vec<Option<i128>>,
}

/// One datagram of a batch.
pub(super) struct Received<'a> {
    /// From.
    pub(super) from: SocketAddr,
    /// Kernel time, ns since the epoch.
    pub(super) stamp: Option<i128>,
    /// Octets.
    pub(super) bytes: &'a [u8],
}

/// Large buffers and receive times; what the kernel refuses is left as it was.
pub(super) fn prepare(socket: &UdpSocket, octets: i32) {
    for (option, value) in
        [(libc::SO_TIMESTAMPNS, 1), (libc::SO_RCVBUFFORCE, octets), (libc::SO_SNDBUFFORCE, octets)]
    {
        // SAFETY: the socket is open; the value is an int that outlives the call, and its size is given.
        let _ = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                std::ptr::from_ref(&value).cast(),
                socklen::<i32>(),
            )
        };
    }
}

/// CPU time of the calling thread, us.
pub(super) fn thread_cpu_us() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec for the kernel to write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1000
}

impl Batch {
    pub(super) fn new(size: usize) -> Self {
        Self {
            data: vec![[0; DATAGRAM_MAX]; size],
            control: vec![[0; CONTROL / 8]; size],
            // SAFETY: sockaddr_storage is plain data; all zeroes is a valid value (family AF_UNSPEC).
            addresses: vec![unsafe { std::mem::zeroed() }; size],
            lengths: vec![0; size],
            stamps: vec![None; size],
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Receives what is there; how many datagrams.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> usize {
        let mut vectors: Vec<libc::iovec> = self
            .data
            .iter_mut()
            .map(|d| libc::iovec { iov_base: d.as_mut_ptr().cast(), iov_len: DATAGRAM_MAX })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = vectors
            .iter_mut()
            .zip(&mut self.addresses)
            .zip(&mut self.control)
            .map(|((vector, address), control)| {
                // SAFETY: mmsghdr is plain data; all zeroes is valid and the fields that matter are set below.
                let mut h: libc::mmsghdr = unsafe { std::mem::zeroed() };
                h.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
                h.msg_hdr.msg_namelen = socklen::<libc::sockaddr_storage>();
                h.msg_hdr.msg_iov = vector;
                h.msg_hdr.msg_iovlen = 1;
                h.msg_hdr.msg_control = control.as_mut_ptr().cast();
                h.msg_hdr.msg_controllen = CONTROL;
                h
            })
            .collect();
        // SAFETY: every header points to a buffer, an address and a control area of this batch, which outlive the
        // call; the count is that of the headers.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                u32::try_from(headers.len()).expect("a batch is small"),
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let n = usize::try_from(n).unwrap_or(0);
        for (i, header) in headers.iter().take(n).enumerate() {
            self.lengths[i] = usize::try_from(header.msg_len).unwrap_or(0).min(DATAGRAM_MAX);
            self.stamps[i] = stamp(&header.msg_hdr);
        }
        n
    }

    /// The `i`th datagram of the last batch.
    pub(super) fn get(&self, i: usize) -> Received<'_> {
        Received {
            from: address(&self.addresses[i]),
            stamp: self.stamps[i],
            bytes: &self.data[i][..self.lengths[i]],
        }
    }

    /// Sends all; what the kernel refuses is lost, as on a network.
    #[expect(clippy::unused_self, reason = "the counterpart of receive")]
    pub(super) fn send(&mut self, socket: &UdpSocket, packets: &[(SocketAddr, &[u8])]) {
        for chunk in packets.chunks(256) {
            let mut addresses: Vec<(libc::sockaddr_storage, libc::socklen_t)> =
                chunk.iter().map(|(to, _)| storage(to)).collect();
            let mut vectors: Vec<libc::iovec> = chunk
                .iter()
                .map(|(_, bytes)| libc::iovec {
                    iov_base: bytes.as_ptr().cast_mut().cast(),
                    iov_len: bytes.len(),
                })
                .collect();
            let mut headers: Vec<libc::mmsghdr> = vectors
                .iter_mut()
                .zip(&mut addresses)
                .map(|(vector, (address, length))| {
                    // SAFETY: mmsghdr is plain data; all zeroes is valid and the fields that matter are set below.
                    let mut h: libc::mmsghdr = unsafe { std::mem::zeroed() };
                    h.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
                    h.msg_hdr.msg_namelen = *length;
                    h.msg_hdr.msg_iov = vector;
                    h.msg_hdr.msg_iovlen = 1;
                    h
                })
                .collect();
            let count = u32::try_from(headers.len()).expect("256 at most");
            // SAFETY: every header points to an address and to octets that outlive the call; sendmmsg only reads.
            let _ = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT)
            };
        }
    }
}

/// The kernel's receive time in a message's control area.
fn stamp(header: &libc::msghdr) -> Option<i128> {
    // SAFETY: the kernel filled msg_control and msg_controllen of this header; the macros stay inside.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: `at` is a control header inside the area, as the macros promise.
        let (level, kind) = unsafe { ((*at).cmsg_level, (*at).cmsg_type) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            // SAFETY: a SCM_TIMESTAMPNS holds one timespec, perhaps unaligned.
            let t = unsafe { libc::CMSG_DATA(at).cast::<libc::timespec>().read_unaligned() };
            return Some(i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec));
        }
        // SAFETY: `at` is inside the area of `header`.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    None
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("small")
}

fn family(number: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).expect("families are small numbers")
}

fn address(storage: &libc::sockaddr_storage) -> SocketAddr {
    let at = std::ptr::from_ref(storage);
    if i32::from(storage.ss_family) == libc::AF_INET6 {
        // SAFETY: the family says that this storage holds a sockaddr_in6, which it is large and aligned enough for.
        let a = unsafe { &*at.cast::<libc::sockaddr_in6>() };
        return SocketAddr::new(IpAddr::V6(Ipv6Addr::from(a.sin6_addr.s6_addr)), u16::from_be(a.sin6_port));
    }
    // SAFETY: these sockets receive from AF_INET or AF_INET6 only; an unset storage reads as 0.0.0.0:0.
    let a = unsafe { &*at.cast::<libc::sockaddr_in>() };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr))), u16::from_be(a.sin_port))
}

fn storage(address: &SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: sockaddr_storage is plain data; all zeroes is a valid value.
    let mut s: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let at = &raw mut s;
    let length = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: a sockaddr_storage is large and aligned enough for a sockaddr_in.
            let a = unsafe { &mut *at.cast::<libc::sockaddr_in>() };
            a.sin_family = family(libc::AF_INET);
            a.sin_port = v4.port().to_be();
            a.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: a sockaddr_storage is large and aligned enough for a sockaddr_in6.
            let a = unsafe { &mut *at.cast::<libc::sockaddr_in6>() };
            a.sin6_family = family(libc::AF_INET6);
            a.sin6_port = v6.port().to_be();
            a.sin6_addr.s6_addr = v6.ip().octets();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (s, libc::socklen_t::try_from(length).expect("an address is small"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_crosses_the_loopback_with_times_and_addresses() {
        let a = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let b = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        prepare(&b, 1 << 20);
        let to = b.local_addr().expect("bound");
        let mut batch = Batch::new(8);
        batch.send(&a, &[(to, b"one"), (to, b"two")]);
        b.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
        b.peek(&mut [0; 8]).expect("the first has arrived");
        let n = batch.receive(&b);
        assert_eq!(n, 2);
        assert_eq!((batch.get(0).bytes, batch.get(1).bytes), (&b"one"[..], &b"two"[..]));
        assert_eq!(batch.get(0).from, a.local_addr().expect("bound"));
        assert!(batch.get(0).stamp.is_some());
    }
}
