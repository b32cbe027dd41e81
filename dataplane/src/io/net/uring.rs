//! The shared sockets of [`sockets`](super::sockets) driven by io_uring: one multishot receive that fills a ring of
//! buffers, sends submitted in a batch. Within a few per cent of `recvmmsg` and `sendmmsg` on today's kernels
//! (`spec/media` §1), and ready for where they get better.

use super::batch::{BUFFER, address, destination};
use super::sockets::{Map, Outbox, Pair};
use super::{PortRange, Refusal, Step, refused};
use crate::net::{Arrival, Channel, Net, NetCounts, NetError};
use crate::spec::Rtp;
use io_uring::types::{BufRingEntry, Fixed};
use io_uring::{IoUring, cqueue, opcode};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

/// Receive buffers, a power of two: all that can come while a tick is late.
const BUFFERS: u16 = 4096;
/// Octets before the payload in a receive buffer: the kernel's head, name, control.
const HEAD: usize = 16;
const NAME: usize = 128;
const CONTROL: usize = 64;
/// Octets of a receive buffer.
const SLOT: usize = 1024;
/// Packets sent in a batch.
const BATCH: usize = 256;
const GROUP: u16 = 0;
/// An entry that brought fewer packets has brought all.
const ENTRY_FEW: usize = 16;
/// User data of the receive; sends count from 0.
const RECEIVE: u64 = u64::MAX;
const _: () = assert!(HEAD + NAME + CONTROL + BUFFER <= SLOT && BUFFERS.is_power_of_two());

/// See the module.
pub struct Uring {
    ring: IoUring,
    pair: Pair,
    map: Map,
    outbox: Outbox,
    /// The ring of free buffers that the kernel takes from.
    entries: Box<Entries>,
    buffers: Box<[[u8; SLOT]]>,
    /// Pointed at by the receive as long as it is armed.
    header: Box<libc::msghdr>,
    /// Buffers that were filled and not yet read: number and octets.
    arrived: std::collections::VecDeque<(u16, usize)>,
    tail: u16,
    armed: bool,
    enabled: bool,
    in_flight: usize,
    counts: NetCounts,
}

/// Buffer entries on a page boundary, as the kernel wants them.
#[repr(C, align(4096))]
struct Entries([[u64; 2]; BUFFERS as usize]);

// SAFETY: the pointers within belong to this value's own boxes; the ring is used by whoever owns the value.
unsafe impl Send for Uring {}

impl Uring {
    /// For one worker, with its sockets.
    ///
    /// # Errors
    /// When the kernel has no io_uring or refuses it.
    pub fn new(pair: Pair, range: &PortRange, places: u32) -> Result<Self, Refusal> {
        // Disabled until the worker's thread enables it: that thread is then the single issuer.
        let ring = IoUring::builder()
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(16_384)
            .build(1024)
            .map_err(refused(Step::Uring))?;
        // SAFETY: an all-zero msghdr is valid; only the lengths are read for a multishot receive.
        let mut header: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        header.msg_namelen = libc::socklen_t::try_from(NAME).expect("small");
        header.msg_controllen = CONTROL;
        Ok(Self {
            ring,
            map: Map::new(range, places),
            outbox: Outbox::new(BATCH, pair.theirs),
            pair,
            entries: Box::new(Entries([[0; 2]; BUFFERS as usize])),
            buffers: vec![[0; SLOT]; usize::from(BUFFERS)].into(),
            header,
            arrived: std::collections::VecDeque::with_capacity(usize::from(BUFFERS)),
            tail: 0,
            armed: false,
            enabled: false,
            in_flight: 0,
            counts: NetCounts::default(),
        })
    }

    /// What only the worker's thread may do, once.
    fn enable(&mut self) {
        self.enabled = true;
        let fds = [self.pair.receive.as_raw_fd(), self.pair.send.as_raw_fd()];
        let at = u64::try_from((&raw const *self.entries).addr()).expect("64 bits");
        let submitter = self.ring.submitter();
        submitter.register_enable_rings().expect("made disabled");
        submitter.register_files(&fds).expect("two descriptors of ours");
        // SAFETY: `entries` is page-aligned, large enough, boxed, and lives until the ring is dropped before it.
        unsafe { submitter.register_buf_ring_with_flags(at, BUFFERS, GROUP, 0) }.expect("a ring of our own");
        for buffer in 0..BUFFERS {
            self.give(buffer);
        }
        self.publish();
    }

    /// Puts a buffer back into the ring of free ones; shown to the kernel by [`Self::publish`].
    fn give(&mut self, buffer: u16) {
        let slot = usize::from(self.tail & (BUFFERS - 1));
        let at = u64::try_from(self.buffers[usize::from(buffer)].as_ptr().addr()).expect("64 bits");
        // SAFETY: `slot` is below the number of entries, and an entry is two words of 64 bits.
        let entry = unsafe { &mut *(&raw mut self.entries.0[slot]).cast::<BufRingEntry>() };
        entry.set_addr(at);
        entry.set_len(u32::try_from(SLOT).expect("small"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        let base = (&raw const *self.entries).cast::<BufRingEntry>();
        // SAFETY: the base is the registered ring's; the tail lies in its first entry's reserved half-word, which
        // `give` does not write.
        let tail = unsafe { &*BufRingEntry::tail(base).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    fn arm(&mut self) {
        let receive = opcode::RecvMsgMulti::new(Fixed(0), &raw const *self.header, GROUP).build();
        // SAFETY: the header is boxed and outlives the ring.
        let pushed = unsafe { self.ring.submission().push(&receive.user_data(RECEIVE)) };
        self.armed = pushed.is_ok();
    }

    /// Submits what is queued and lets the kernel post what has come.
    fn enter(&mut self) {
        let queued = u32::try_from(self.ring.submission().len()).expect("small");
        const GETEVENTS: u32 = 1;
        // SAFETY: no argument is passed; entries in the queue point at memory of ours that stays put.
        let _ = unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) };
        self.reap();
    }

    /// Gives what has arrived to the worker, and the buffers back to the kernel.
    fn hand_over(&mut self, sink: &mut impl FnMut(Arrival<'_>)) {
        let any = !self.arrived.is_empty();
        while let Some((buffer, len)) = self.arrived.pop_front() {
            let slot = &mut self.buffers[usize::from(buffer)][..len];
            let (head, bytes) = slot.split_at_mut(len.min(HEAD + NAME + CONTROL));
            let from = head.get(HEAD..HEAD + NAME).and_then(address);
            let to = head.get(HEAD + NAME..).and_then(destination);
            match (to.and_then(|to| self.map.find(to)), from) {
                (Some((place, channel)), Some(from)) => {
                    self.counts.received += 1;
                    sink(Arrival { place, channel, from, bytes });
                }
                _ => self.counts.stray += 1,
            }
            self.give(buffer);
        }
        if any {
            self.publish();
        }
    }

    fn reap(&mut self) {
        for done in self.ring.completion() {
            if done.user_data() != RECEIVE {
                self.in_flight -= 1;
                if done.result() < 0 {
                    self.counts.send_failed += 1
                } else {
                    self.counts.sent += 1
                }
                continue;
            }
            self.armed = self.armed && cqueue::more(done.flags());
            if let (Ok(len), Some(buffer)) =
                (usize::try_from(done.result()), cqueue::buffer_select(done.flags()))
            {
                // There are as many places as buffers.
                self.arrived.push_back((buffer, len.min(SLOT)));
            }
        }
    }
}

impl Net for Uring {
    fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError> {
        self.map.attach(place, rtp)
    }

    fn detach(&mut self, place: u32) {
        self.map.detach(place);
    }

    fn receive(&mut self, _due: Range<u32>, sink: &mut impl FnMut(Arrival<'_>)) {
        if !self.enabled {
            self.enable();
        }
        if !self.armed {
            self.arm();
        }
        // The kernel brings a bounded number of packets per entry (32 today): enter until one brings little.
        loop {
            self.enter();
            let came = self.arrived.len();
            self.hand_over(sink);
            if came < ENTRY_FEW {
                return;
            }
            if !self.armed {
                self.arm();
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
        if !self.enabled {
            return;
        }
        for (i, (packet, name)) in self.outbox.packets().enumerate() {
            let len = u32::try_from(packet.len()).expect("a packet is short");
            let send = opcode::Send::new(Fixed(1), packet.as_ptr(), len)
                .flags(libc::MSG_DONTWAIT)
                .dest_addr((&raw const name.storage).cast())
                .dest_addr_len(name.len)
                .build()
                .user_data(u64::try_from(i).expect("small"));
            // SAFETY: packet and name stay in the outbox until the completion is seen below.
            let pushed = unsafe { self.ring.submission().push(&send) };
            pushed.expect("the queue is longer than a batch");
            self.in_flight += 1;
        }
        // A send that must not wait is done when it is submitted; the loop is for what the kernel has put off.
        while self.in_flight > 0 {
            self.enter();
        }
        self.outbox.clear();
    }

    fn counts(&self) -> NetCounts {
        self.counts
    }
}
