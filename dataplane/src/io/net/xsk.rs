//! One AF_XDP socket in copy mode: a piece of memory cut into frames, and four rings shared with the kernel. Layouts
//! and constants are those of `linux/if_xdp.h`.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Octets of a frame.
pub(crate) const FRAME_OCTETS: usize = 2048;
/// Frames for receiving, and slots of the receive and fill rings.
const RX: u32 = 8192;
/// Frames for sending, and slots of the send and completion rings.
const TX: u32 = 4096;

const SOL_XDP: i32 = 283;
const XDP_MMAP_OFFSETS: i32 = 1;
const XDP_RX_RING: i32 = 2;
const XDP_TX_RING: i32 = 3;
const XDP_UMEM_REG: i32 = 4;
const XDP_UMEM_FILL_RING: i32 = 5;
const XDP_UMEM_COMPLETION_RING: i32 = 6;
const XDP_MAX_TX_SKB_BUDGET: i32 = 9;
const XDP_COPY: u16 = 1 << 1;
const XDP_USE_NEED_WAKEUP: u16 = 1 << 3;
const PGOFF_RX: i64 = 0;
const PGOFF_TX: i64 = 0x8000_0000;
const PGOFF_FILL: i64 = 0x1_0000_0000;
const PGOFF_COMPLETION: i64 = 0x1_8000_0000;

/// A descriptor of the receive and send rings.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Desc {
    addr: u64,
    len: u32,
    options: u32,
}

#[repr(C)]
struct UmemReg {
    addr: u64,
    len: u64,
    chunk_size: u32,
    headroom: u32,
    flags: u32,
    tx_metadata_len: u32,
}

#[repr(C)]
struct SockaddrXdp {
    family: u16,
    flags: u16,
    ifindex: u32,
    queue: u32,
    shared_umem_fd: u32,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct RingOffsets {
    producer: u64,
    consumer: u64,
    desc: u64,
    flags: u64,
}

/// A mapping, unmapped when dropped.
struct Mapping {
    at: *mut u8,
    len: usize,
}

// SAFETY: a mapping is plain memory of this process; who may touch what is kept by its owner.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: Option<i32>, len: usize, offset: i64) -> std::io::Result<Self> {
        let flags = if fd.is_some() { libc::MAP_SHARED } else { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping chosen by the kernel; the result is checked.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                flags | libc::MAP_POPULATE,
                fd.unwrap_or(-1),
                offset,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self { at: at.cast(), len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; nothing refers to it any more, the owner is being dropped.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

/// One ring of `T`, of which we are the producer or the consumer.
struct Ring<T> {
    mapping: Mapping,
    producer: usize,
    consumer: usize,
    desc: usize,
    size: u32,
    /// Our own index, not yet shown to the kernel.
    ours: u32,
    items: std::marker::PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    fn new(fd: i32, offsets: RingOffsets, size: u32, page: i64) -> std::io::Result<Self> {
        let at = |o: u64| usize::try_from(o).expect("a small offset");
        let desc = at(offsets.desc);
        let len = desc + usize::try_from(size).expect("small") * size_of::<T>();
        let mapping = Mapping::new(Some(fd), len, page)?;
        let (producer, consumer) = (at(offsets.producer), at(offsets.consumer));
        assert!(producer + 4 <= len && consumer + 4 <= len, "the kernel's offsets lie within the ring");
        Ok(Self { mapping, producer, consumer, desc, size, ours: 0, items: std::marker::PhantomData })
    }

    fn index(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: the offset was checked to lie within the mapping; the kernel aligns it, and uses it atomically too.
        unsafe { &*self.mapping.at.add(offset).cast::<AtomicU32>() }
    }

    fn slot(&self, index: u32) -> *mut T {
        let i = usize::try_from(index & (self.size - 1)).expect("below the size");
        // SAFETY: `i` is below `size`, and the mapping holds that many items behind `desc`.
        unsafe { self.mapping.at.add(self.desc).cast::<T>().add(i) }
    }

    /// Places that the producer (we) may fill.
    fn free(&self) -> u32 {
        self.size - self.ours.wrapping_sub(self.index(self.consumer).load(Ordering::Acquire))
    }

    /// Fills a place; only if [`Self::free`] says that there is one.
    fn produce(&mut self, item: T) {
        // SAFETY: the place is free: the kernel does not look at it until `publish`.
        unsafe { self.slot(self.ours).write(item) };
        self.ours = self.ours.wrapping_add(1);
    }

    fn publish(&self) {
        self.index(self.producer).store(self.ours, Ordering::Release);
    }

    /// Items that the consumer (we) may take.
    fn ready(&self) -> u32 {
        self.index(self.producer).load(Ordering::Acquire).wrapping_sub(self.ours)
    }

    /// Takes an item; only if [`Self::ready`] says that there is one.
    fn consume(&mut self) -> T {
        // SAFETY: the kernel has published this place and does not touch it until `release`.
        let item = unsafe { self.slot(self.ours).read() };
        self.ours = self.ours.wrapping_add(1);
        item
    }

    fn release(&self) {
        self.index(self.consumer).store(self.ours, Ordering::Release);
    }
}

/// See the module.
pub(crate) struct Xsk {
    fd: OwnedFd,
    memory: Mapping,
    fill: Ring<u64>,
    completion: Ring<u64>,
    rx: Ring<Desc>,
    tx: Ring<Desc>,
    /// Frames that may be sent from.
    free: Vec<u64>,
    unsent: bool,
}

fn set<T>(fd: i32, name: i32, value: &T) -> std::io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).expect("small");
    // SAFETY: `value` is readable for its size.
    let rc = unsafe { libc::setsockopt(fd, SOL_XDP, name, (&raw const *value).cast(), len) };
    if rc == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

impl Xsk {
    /// Opens one on a queue of an interface; packets come when an XDP program sends them.
    pub(crate) fn open(ifindex: u32, queue: u32) -> std::io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let raw = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if raw < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: just made, valid, nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        let len = usize::try_from(RX + TX).expect("small") * FRAME_OCTETS;
        let memory = Mapping::new(None, len, 0)?;
        let umem = UmemReg {
            addr: u64::try_from(memory.at.addr()).expect("64 bits"),
            len: u64::try_from(len).expect("64 bits"),
            chunk_size: u32::try_from(FRAME_OCTETS).expect("small"),
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        set(raw, XDP_UMEM_REG, &umem)?;
        set(raw, XDP_UMEM_FILL_RING, &RX)?;
        set(raw, XDP_UMEM_COMPLETION_RING, &TX)?;
        set(raw, XDP_RX_RING, &RX)?;
        set(raw, XDP_TX_RING, &TX)?;
        // Older kernels send 32 packets a call and no more; then the loop in `kick` goes round more often.
        let _ = set(raw, XDP_MAX_TX_SKB_BUDGET, &1024_u32);
        let [rx, tx, fill, completion] = offsets(raw)?;
        let mut xsk = Self {
            fill: Ring::new(raw, fill, RX, PGOFF_FILL)?,
            completion: Ring::new(raw, completion, TX, PGOFF_COMPLETION)?,
            rx: Ring::new(raw, rx, RX, PGOFF_RX)?,
            tx: Ring::new(raw, tx, TX, PGOFF_TX)?,
            fd,
            memory,
            free: (RX..RX + TX).map(|i| u64::from(i) * 2048).collect(),
            unsent: false,
        };
        for i in 0..RX {
            xsk.fill.produce(u64::from(i) * 2048);
        }
        xsk.fill.publish();
        bind(raw, ifindex, queue)?;
        Ok(xsk)
    }

    /// The socket, for the program's map.
    pub(crate) fn raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    fn frame(&mut self, addr: u64, len: usize) -> &mut [u8] {
        let at = usize::try_from(addr).expect("64 bits");
        assert!(at + len <= self.memory.len, "the kernel's addresses lie within the memory");
        // SAFETY: within the mapping (just checked); the frame is ours: it was taken from a ring or the free list.
        unsafe { std::slice::from_raw_parts_mut(self.memory.at.add(at), len) }
    }

    /// Hands what came to `sink`, Ethernet header and all.
    pub(crate) fn receive(&mut self, mut sink: impl FnMut(&mut [u8])) {
        let ready = self.rx.ready();
        for _ in 0..ready {
            let desc = self.rx.consume();
            let len = usize::try_from(desc.len).expect("small").min(FRAME_OCTETS);
            sink(self.frame(desc.addr, len));
            // There are as many fill slots as frames for receiving, so there is always room.
            self.fill.produce(desc.addr & !2047);
        }
        if ready > 0 {
            self.rx.release();
            self.fill.publish();
        }
    }

    /// Sends what `write` puts into a frame: it says where the packet begins and ends. False: no frame is free.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut [u8]) -> Option<std::ops::Range<usize>>) -> bool {
        if self.free.is_empty() || self.tx.free() == 0 {
            self.kick();
            self.collect();
        }
        let Some(addr) = self.free.pop() else { return false };
        if self.tx.free() == 0 {
            self.free.push(addr);
            return false;
        }
        let Some(packet) = write(self.frame(addr, FRAME_OCTETS)) else {
            self.free.push(addr);
            return false;
        };
        let len = u32::try_from(packet.len()).expect("within a frame");
        let start = u64::try_from(packet.start).expect("within a frame");
        self.tx.produce(Desc { addr: addr + start, len, options: 0 });
        self.unsent = true;
        true
    }

    /// Shows the kernel what is to be sent and makes it send.
    pub(crate) fn flush(&mut self) {
        if self.unsent {
            self.kick();
            self.unsent = false;
        }
        self.collect();
    }

    fn kick(&mut self) {
        self.tx.publish();
        // In copy mode the sending is done in the call; a bounded number of calls sends everything or the queue is full.
        for _ in 0..256 {
            if self.tx.free() == self.tx.size {
                return;
            }
            // SAFETY: no octets are given; the call only wakes the ring.
            let rc = unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    std::ptr::null(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null(),
                    0,
                )
            };
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
            if rc < 0 && errno != libc::EAGAIN {
                return;
            }
        }
    }

    fn collect(&mut self) {
        let ready = self.completion.ready();
        for _ in 0..ready {
            let addr = self.completion.consume();
            self.free.push(addr & !2047);
        }
        if ready > 0 {
            self.completion.release();
        }
    }
}

/// Where the rings' indices lie: receive, send, fill, completion.
fn offsets(fd: i32) -> std::io::Result<[RingOffsets; 4]> {
    let mut offsets = [RingOffsets::default(); 4];
    let mut len = libc::socklen_t::try_from(size_of_val(&offsets)).expect("small");
    // SAFETY: `offsets` is writable for `len` octets.
    let rc =
        unsafe { libc::getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, offsets.as_mut_ptr().cast(), &raw mut len) };
    if rc != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(offsets)
}

fn bind(fd: i32, ifindex: u32, queue: u32) -> std::io::Result<()> {
    let family = u16::try_from(libc::AF_XDP).expect("small");
    let flags = XDP_COPY | XDP_USE_NEED_WAKEUP;
    let addr = SockaddrXdp { family, flags, ifindex, queue, shared_umem_fd: 0 };
    let len = libc::socklen_t::try_from(size_of_val(&addr)).expect("small");
    // SAFETY: `addr` is readable for its size.
    let rc = unsafe { libc::bind(fd, (&raw const addr).cast(), len) };
    if rc == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
