//! `recvmmsg` and `sendmmsg` with kernel receive times, over buffers that are allocated once. IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Octets kept of a datagram; SIP messages are larger than RTP but rarely than this. An odd number of cache lines, so
/// that the heads of a batch do not all want the same lines of the first-level cache.
const DATAGRAM_MAX: usize = 65 * 64;
/// Datagrams sent by one call.
const SEND_MAX: usize = 256;
const CONTROL: usize = 64;

/// Buffers for one batch.
pub(super) struct Batch {
    data: Vec<[u8; DATAGRAM_MAX]>,
    control: Vec<[u64; CONTROL / 8]>,
    addresses: Vec<libc::sockaddr_storage>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// Headers that the last batch wrote to; all others still stand as they were set.
    dirty: usize,
    lengths: Vec<usize>,
    stamps: Vec<Option<i128>>,
    out: Outgoing,
}

/// What one `sendmmsg` takes.
struct Outgoing {
    addresses: Vec<libc::sockaddr_storage>,
    lengths: Vec<libc::socklen_t>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
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
    // Without path MTU discovery the kernel looks up no route cache for each packet of an unconnected socket.
    let probe = libc::IP_PMTUDISC_PROBE;
    // SAFETY: as above; an IPv6 socket refuses the option, which changes nothing.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            std::ptr::from_ref(&probe).cast(),
            socklen::<i32>(),
        )
    };
}

/// Datagrams that the kernel dropped since our socket was full: we were too slow.
pub(super) fn dropped(socket: &UdpSocket) -> u64 {
    // SO_MEMINFO: nine numbers, the last is the count of drops (linux/sock_diag.h).
    let mut info = [0u32; 9];
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).expect("small");
    // SAFETY: the buffer is as long as the length says; the kernel writes no more than that.
    let told = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if told == 0 { u64::from(info[8]) } else { 0 }
}

/// Binds the calling thread to a core; false: the kernel refused.
pub(super) fn pin(core: usize) -> bool {
    pin_thread(0, core)
}

/// Binds a thread (0: the calling one) to a core; false: the kernel refused.
pub(super) fn pin_thread(thread: i32, core: usize) -> bool {
    // SAFETY: a cpu_set_t is a bit mask; all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if core >= 8 * size_of::<libc::cpu_set_t>() {
        return false;
    }
    // SAFETY: the core is within the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set outlives the call, which only reads it.
    unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const set) == 0 }
}

/// Gives the calling thread SCHED_FIFO; false: not allowed.
pub(super) fn raise() -> bool {
    let parameter = libc::sched_param { sched_priority: 10 };
    // SAFETY: the parameter outlives the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) == 0 }
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
        // SAFETY: sockaddr_storage and mmsghdr are plain data; all zeroes is a valid value of both.
        let (address, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self {
            data: vec![[0; DATAGRAM_MAX]; size],
            control: vec![[0; CONTROL / 8]; size],
            addresses: vec![address; size],
            vectors: vec![vector; size],
            headers: vec![header; size],
            dirty: size,
            lengths: vec![0; size],
            stamps: vec![None; size],
            out: Outgoing {
                addresses: vec![address; SEND_MAX],
                lengths: vec![0; SEND_MAX],
                vectors: vec![vector; SEND_MAX],
                headers: vec![header; SEND_MAX],
            },
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Receives what is there; how many datagrams.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> usize {
        // The vectors never grow, so pointers into them stay true when the batch itself moves.
        for i in 0..self.dirty {
            self.vectors[i] =
                libc::iovec { iov_base: self.data[i].as_mut_ptr().cast(), iov_len: DATAGRAM_MAX };
            let h = &mut self.headers[i].msg_hdr;
            h.msg_name = std::ptr::from_mut(&mut self.addresses[i]).cast();
            h.msg_namelen = socklen::<libc::sockaddr_storage>();
            h.msg_iov = &raw mut self.vectors[i];
            h.msg_iovlen = 1;
            h.msg_control = self.control[i].as_mut_ptr().cast();
            h.msg_controllen = CONTROL;
            h.msg_flags = 0;
        }
        // SAFETY: every header points to buffers of `self` that outlive the call, with their true lengths; the count is
        // that of the headers.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                u32::try_from(self.headers.len()).expect("a batch is small"),
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let n = usize::try_from(n).unwrap_or(0);
        self.dirty = n;
        for (i, header) in self.headers.iter().take(n).enumerate() {
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

    /// Sends all; how many the kernel refused: they are lost, as on a network, but by our fault.
    pub(super) fn send<'a>(
        &mut self,
        socket: &UdpSocket,
        packets: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> u64 {
        let mut refused = 0;
        let mut n = 0;
        for (to, bytes) in packets {
            let out = &mut self.out;
            out.lengths[n] = store(&mut out.addresses[n], &to);
            out.vectors[n] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            n += 1;
            if n == SEND_MAX {
                refused += self.flush(socket, n);
                n = 0;
            }
        }
        if n > 0 { refused + self.flush(socket, n) } else { refused }
    }

    fn flush(&mut self, socket: &UdpSocket, n: usize) -> u64 {
        let out = &mut self.out;
        for i in 0..n {
            let h = &mut out.headers[i].msg_hdr;
            h.msg_name = std::ptr::from_mut(&mut out.addresses[i]).cast();
            h.msg_namelen = out.lengths[i];
            h.msg_iov = &raw mut out.vectors[i];
            h.msg_iovlen = 1;
        }
        let count = u32::try_from(n).expect("a batch is small");
        // SAFETY: every header points to an address and a vector of `self` and to octets that `send`'s caller lent for
        // longer than this call; sendmmsg only reads them.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), out.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT)
        };
        u64::from(count).saturating_sub(u64::try_from(sent).unwrap_or(0))
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

/// Writes an address into a storage; its length.
fn store(s: &mut libc::sockaddr_storage, address: &SocketAddr) -> libc::socklen_t {
    let at = std::ptr::from_mut(s);
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
            a.sin6_scope_id = v6.scope_id();
            a.sin6_flowinfo = 0;
            size_of::<libc::sockaddr_in6>()
        }
    };
    libc::socklen_t::try_from(length).expect("an address is small")
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
        assert_eq!(batch.send(&a, [(to, &b"one"[..]), (to, &b"two"[..])].into_iter()), 0);
        assert_eq!(dropped(&b), 0);
        b.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
        b.peek(&mut [0; 8]).expect("the first has arrived");
        let n = batch.receive(&b);
        assert_eq!(n, 2);
        assert_eq!((batch.get(0).bytes, batch.get(1).bytes), (&b"one"[..], &b"two"[..]));
        assert_eq!(batch.get(0).from, a.local_addr().expect("bound"));
        assert!(batch.get(0).stamp.is_some());
    }
}
