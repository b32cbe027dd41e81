//! Cards of DAHDI's drivers, by the kernel's own interface: one descriptor a timeslot, raw ioctls, no C library. The spans
//! are configured by `dahdi_cfg` (`bchan`, `dchan`, or `cas` for E&M trunks); here they are opened by channel.
//!
//! Voice moves in blocks of 10 ms, read and written without blocking when `poll` says so; D-channels are those that the
//! driver's HDLC makes frames of. What else there is comes as events: a read or a write answers errno 500 until the event
//! is taken, which happens before anything else. Not exercised against a driver yet, but for the numbers below, which
//! a C program printed from Debian's header.

use crate::card::{Card, CardError, CardInfo, CardReport, Offload, SLOT_OCTETS_MAX, SpanKind, Tick, alarm};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use units::Digit;

/// One span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its number in DAHDI, from 1.
    pub number: u16,
    /// Its first channel in DAHDI's count, from 1.
    pub first_channel: u32,
    /// T1 or E1.
    pub kind: SpanKind,
    /// Slots with HDLC, from 1.
    pub d_channels: Vec<u8>,
    /// Its slots have signalling bits (`cas` in `system.conf`).
    pub bits: bool,
}

/// Octets of a block: 10 ms.
const BLOCK: usize = 80;
/// Blocks that wait for the line: what a worker that is late may be behind.
const BLOCKS_MAX: usize = 4;
/// Longest D-channel frame with its FCS.
const FRAME_MAX: usize = 512;
/// D-channel frames that wait at a slot.
const FRAMES_MAX: usize = 32;
/// Events of a slot that are taken at once.
const EVENTS_MAX: usize = 32;
/// Reports that wait.
const REPORTS_MAX: usize = 256;
/// DAHDI's errno for "an event waits" (ELAST).
const ELAST: i32 = 500;

/// Numbers of DAHDI's ioctls (`include/dahdi/user.h`).
mod number {
    /// Built as the kernel's `_IOC`: direction (1 write, 2 read, 3 both), size, type 0xDA, number.
    const fn ioc(direction: u32, nr: u32, size: usize) -> u64 {
        (direction as u64) << 30 | (size as u64) << 16 | 0xDA << 8 | nr as u64
    }

    pub(super) const SPECIFY: u64 = ioc(1, 0x26, 4);
    pub(super) const SET_BLOCKSIZE: u64 = ioc(1, 0x01, 4);
    pub(super) const GETEVENT: u64 = ioc(2, 0x08, 4);
    pub(super) const SPANSTAT: u64 = ioc(3, 0x0A, super::SPAN_INFO_OCTETS);
    pub(super) const SET_BUFINFO: u64 = ioc(1, 0x1B, size_of::<super::BufferInfo>());
    pub(super) const AUDIOMODE: u64 = ioc(1, 0x20, 4);
    pub(super) const GETRXBITS: u64 = ioc(2, 0x2B, 4);
    pub(super) const SETTXBITS: u64 = ioc(1, 0x2B, 4);
    pub(super) const TONEDETECT: u64 = ioc(1, 0x5B, 4);
    pub(super) const GETVERSION: u64 = ioc(2, 0x39, 160);
}

/// `struct dahdi_bufferinfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct BufferInfo {
    txbufpolicy: i32,
    rxbufpolicy: i32,
    numbufs: i32,
    bufsize: i32,
    readbufs: i32,
    writebufs: i32,
}

/// `struct dahdi_spaninfo`, packed: 314 octets, the number first, the alarms at 64.
const SPAN_INFO_OCTETS: usize = 314;
const SPAN_INFO_ALARMS: usize = 64;

/// Events.
mod event {
    pub(super) const ALARM: i32 = 4;
    pub(super) const NOALARM: i32 = 5;
    pub(super) const OVERRUN: i32 = 7;
    pub(super) const BITSCHANGED: i32 = 13;
    pub(super) const READ_OVERRUN: i32 = 29;
    pub(super) const WRITE_UNDERRUN: i32 = 30;
    pub(super) const DTMFDOWN: i32 = 1 << 17;
    pub(super) const DTMFUP: i32 = 1 << 18;
}

/// Our words for DAHDI's alarm bits.
fn alarms_of(bits: i32) -> u16 {
    const WORDS: [(i32, u16); 8] = [
        (1, alarm::DEFECT),
        (2, alarm::LOOPED),
        (4, alarm::RAI),
        (8, alarm::LOF),
        (16, alarm::AIS),
        (0x100, alarm::LOS),
        (0x200, alarm::LOF),
        (0x400, alarm::LOMF),
    ];
    let ours = WORDS.iter().filter(|(theirs, _)| bits & theirs != 0).fold(0, |all, (_, ours)| all | ours);
    if ours & alarm::DEAD == 0 { ours } else { ours | alarm::DEFECT }
}

#[derive(Debug)]
struct Slot {
    /// `None`: not configured in DAHDI, silent.
    file: Option<File>,
    span: u16,
    slot: u8,
    bits: bool,
    hdlc: bool,
    /// From the line, not heard yet; to the line, not a block yet or not taken.
    rx: VecDeque<u8>,
    tx: VecDeque<u8>,
    frames: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

/// See the module.
#[derive(Debug)]
pub struct Dahdi {
    info: CardInfo,
    control: File,
    spans: Vec<Span>,
    slots: Vec<Slot>,
    polls: Vec<libc::pollfd>,
    ms: u64,
    reports: VecDeque<CardReport>,
    lost: u32,
}

impl Dahdi {
    /// Opens every timeslot of these spans.
    ///
    /// # Errors
    /// The operating system's: no DAHDI, no such channel, or it is another program's.
    pub fn open(spans: &[Span]) -> std::io::Result<Self> {
        let control = options().open("/dev/dahdi/ctl")?;
        let mut version = [0u8; 160];
        // SAFETY: GETVERSION writes 160 octets, which the array has.
        unsafe { ioctl(&control, number::GETVERSION, version.as_mut_ptr().cast()) }?;
        let (mut slots, mut digits) = (Vec::new(), true);
        for (n, span) in (0u16..).zip(spans) {
            for slot in 1..=span.kind.slots() {
                let opened = Slot::open(n, slot, span)?;
                digits &= opened.hdlc || opened.file.is_none() || opened.hears_digits();
                slots.push(opened);
            }
        }
        let polls = slots.iter().map(|s| libc::pollfd { fd: s.fd(), events: 0, revents: 0 }).collect();
        let info = CardInfo {
            name: format!("dahdi {}", String::from_utf8_lossy(&version[..80]).trim_end_matches('\0')),
            spans: spans.iter().map(|s| s.kind).collect(),
            offload: Offload { dtmf: digits, echo_tail_ms: 0 },
        };
        let reports = VecDeque::with_capacity(REPORTS_MAX);
        let mut card = Self { info, control, spans: spans.to_vec(), slots, polls, ms: 0, reports, lost: 0 };
        (0..spans.len()).for_each(|n| card.alarms(n));
        Ok(card)
    }

    fn report(&mut self, report: CardReport) {
        if self.reports.len() < REPORTS_MAX {
            self.reports.push_back(report);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Asks a span for its alarms.
    fn alarms(&mut self, span: usize) {
        let mut info = [0u8; SPAN_INFO_OCTETS];
        info[..4].copy_from_slice(&i32::from(self.spans[span].number).to_ne_bytes());
        // SAFETY: SPANSTAT reads and writes 314 octets, which the array has.
        if unsafe { ioctl(&self.control, number::SPANSTAT, info.as_mut_ptr().cast()) }.is_ok() {
            let at = SPAN_INFO_ALARMS;
            let bits = i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
            let span = u16::try_from(span).expect("spans are few");
            self.report(CardReport::Alarm { span, bits: alarms_of(bits) });
        }
    }

    /// Everything that a slot has to say; DAHDI answers nothing else until it is taken.
    fn events(&mut self, n: usize) {
        for _ in 0..EVENTS_MAX {
            let (span, slot, bits) = (self.slots[n].span, self.slots[n].slot, self.slots[n].bits);
            let Some(what) = self.slots[n].event() else { return };
            match what {
                event::ALARM | event::NOALARM => self.alarms(usize::from(span)),
                event::BITSCHANGED if bits => {
                    if let Some(abcd) = self.slots[n].received_bits() {
                        self.report(CardReport::Bits { span, slot, abcd });
                    }
                }
                event::OVERRUN | event::READ_OVERRUN => self.report(CardReport::Slip { span, frames: -1 }),
                event::WRITE_UNDERRUN => self.report(CardReport::Slip { span, frames: 1 }),
                _ => {
                    let down = what & event::DTMFDOWN != 0;
                    let digit =
                        u8::try_from(what & 0xFF).ok().and_then(|c| Digit::try_from(char::from(c)).ok());
                    if let Some(digit) = digit.filter(|_| down || what & event::DTMFUP != 0) {
                        self.report(CardReport::Digit { span, slot, digit, down });
                    }
                }
            }
        }
    }

    /// Asks which slots have something, or room; then moves it.
    fn move_blocks(&mut self) -> Result<(), CardError> {
        for (poll, slot) in self.polls.iter_mut().zip(&self.slots) {
            let wants = if slot.tx.len() >= BLOCK { libc::POLLOUT } else { 0 };
            (poll.events, poll.revents) = (libc::POLLIN | libc::POLLPRI | wants, 0);
        }
        let count = libc::nfds_t::try_from(self.polls.len()).expect("at most 1,024");
        // SAFETY: the slice is valid and of the length told; a timeout of 0 never blocks.
        if unsafe { libc::poll(self.polls.as_mut_ptr(), count, 0) } < 0 {
            return Ok(());
        }
        for n in 0..self.slots.len() {
            let ready = self.polls[n].revents;
            if ready & libc::POLLPRI != 0 {
                self.events(n);
            }
            if ready & (libc::POLLERR | libc::POLLNVAL) != 0 && ready & libc::POLLPRI == 0 {
                return Err(CardError::Gone(libc::EIO));
            }
            if ready & libc::POLLIN != 0 && self.slots[n].read() == Err(ELAST) {
                self.events(n);
            }
            if ready & libc::POLLOUT != 0 && self.slots[n].write() == Err(ELAST) {
                self.events(n);
            }
        }
        Ok(())
    }

    fn slot(&mut self, span: u16, slot: u8) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|s| s.span == span && s.slot == slot)
    }
}

impl Card for Dahdi {
    fn info(&self) -> &CardInfo {
        &self.info
    }

    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError> {
        let octets = tick.octets;
        let shaped = octets > 0 && octets.is_multiple_of(8) && octets <= SLOT_OCTETS_MAX;
        let long = self.slots.len() * octets;
        if !shaped || tick.tx.len() != long || tick.rx.len() != long {
            return Err(CardError::Shape);
        }
        let chunks = tick.tx.chunks_exact(octets).zip(tick.rx.chunks_exact_mut(octets));
        for (slot, (tx, rx)) in self.slots.iter_mut().zip(chunks) {
            if slot.hdlc {
                rx.fill(0xFF);
                continue;
            }
            slot.tx.extend(tx);
            // A line that takes nothing loses the oldest.
            let over = slot.tx.len().saturating_sub(BLOCK * BLOCKS_MAX);
            slot.tx.drain(..over);
            rx.fill_with(|| slot.rx.pop_front().unwrap_or(0xFF));
        }
        let before = self.ms;
        self.ms += u64::try_from(octets / 8).expect("small");
        // Twice a block, so that none waits for longer than 5 ms.
        if self.ms / 5 != before / 5 { self.move_blocks() } else { Ok(()) }
    }

    fn poll(&mut self) -> Option<CardReport> {
        self.reports.pop_front().or_else(|| {
            let lost = std::mem::take(&mut self.lost);
            (lost > 0).then_some(CardReport::Overflow(lost))
        })
    }

    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        if let Some(slot) = self.slot(span, slot).filter(|s| s.bits) {
            // A slot that is gone shows it when it is read.
            drop(slot.set(number::SETTXBITS, i32::from(abcd & 15)));
        }
    }

    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool {
        let Some(slot) = self.slot(span, slot).filter(|s| s.hdlc) else { return false };
        let mut with_fcs = [0; FRAME_MAX];
        let Some(room) = with_fcs.get_mut(..frame.len() + 2) else { return true };
        // DAHDI puts the FCS where two octets are kept for it.
        room[..frame.len()].copy_from_slice(frame);
        slot.file.as_ref().is_some_and(|mut file| file.write(room).is_ok())
    }

    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize> {
        let slot = self.slot(span, slot)?;
        let frame = slot.frames.pop_front()?;
        let len = frame.len().min(into.len());
        into[..len].copy_from_slice(&frame[..len]);
        slot.spare.push(frame);
        Some(len)
    }
}

impl Slot {
    fn open(n: u16, slot: u8, span: &Span) -> std::io::Result<Self> {
        let file = options().open("/dev/dahdi/channel")?;
        let hdlc = span.d_channels.contains(&slot);
        let frames = if hdlc { FRAMES_MAX } else { 0 };
        let mut slot = Self {
            file: Some(file),
            span: n,
            slot,
            bits: span.bits,
            hdlc,
            rx: VecDeque::with_capacity(BLOCK * (BLOCKS_MAX + 1)),
            tx: VecDeque::with_capacity(BLOCK * (BLOCKS_MAX + 2) + SLOT_OCTETS_MAX),
            frames: VecDeque::with_capacity(frames),
            spare: (0..frames).map(|_| Vec::with_capacity(FRAME_MAX)).collect(),
        };
        let channel = span.first_channel + u32::from(slot.slot) - 1;
        match slot.set(number::SPECIFY, i32::try_from(channel).unwrap_or(i32::MAX)) {
            // In no line of system.conf: no slot of a call.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) && !hdlc => {
                slot.file = None;
                return Ok(slot);
            }
            other => other?,
        }
        let (bufsize, numbufs) = if hdlc { (FRAME_MAX, 16) } else { (BLOCK, 4) };
        let size = i32::try_from(bufsize).expect("small");
        if !hdlc {
            slot.set(number::SET_BLOCKSIZE, size)?;
        }
        let mut buffers = BufferInfo {
            txbufpolicy: 0,
            rxbufpolicy: 0,
            numbufs,
            bufsize: size,
            readbufs: -1,
            writebufs: -1,
        };
        // SAFETY: SET_BUFINFO reads a `dahdi_bufferinfo`, which this is, to its size (see the test).
        unsafe { ioctl(slot.file()?, number::SET_BUFINFO, (&raw mut buffers).cast()) }?;
        if !hdlc {
            slot.set(number::AUDIOMODE, 1)?;
        }
        Ok(slot)
    }

    fn file(&self) -> std::io::Result<&File> {
        self.file.as_ref().ok_or_else(|| Error::from_raw_os_error(libc::ENXIO))
    }

    /// For `poll`, which passes over negative ones.
    fn fd(&self) -> i32 {
        self.file.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// An ioctl that takes an `int`.
    fn set(&self, request: u64, mut value: i32) -> std::io::Result<()> {
        // SAFETY: all requests that come here read one `int`, which `value` is.
        unsafe { ioctl(self.file()?, request, (&raw mut value).cast()) }
    }

    /// An ioctl that gives an `int`.
    fn get(&self, request: u64) -> Option<i32> {
        let mut value = 0i32;
        // SAFETY: all requests that come here write one `int`, which `value` is.
        unsafe { ioctl(self.file().ok()?, request, (&raw mut value).cast()) }.ok()?;
        Some(value)
    }

    /// Whether its driver hears DTMF itself: most do not (ENOTTY). Asked for with the tone muted (3).
    fn hears_digits(&self) -> bool {
        self.set(number::TONEDETECT, 3).is_ok()
    }

    /// The next event; 0 is none.
    fn event(&self) -> Option<i32> {
        self.get(number::GETEVENT).filter(|event| *event != 0)
    }

    /// The upper nibble is what the stack held before: masked.
    fn received_bits(&self) -> Option<u8> {
        u8::try_from(self.get(number::GETRXBITS)? & 15).ok()
    }

    /// A block, or a frame; the errno.
    fn read(&mut self) -> Result<(), i32> {
        let mut octets = [0; FRAME_MAX];
        let want = if self.hdlc { FRAME_MAX } else { BLOCK };
        let errno = |error: Error| error.raw_os_error().unwrap_or(0);
        let got = self.file().map_err(errno)?.read(&mut octets[..want]).map_err(errno)?;
        if !self.hdlc {
            let over = (self.rx.len() + got).saturating_sub(BLOCK * BLOCKS_MAX);
            self.rx.drain(..over.min(self.rx.len()));
            self.rx.extend(&octets[..got]);
            return Ok(());
        }
        // The FCS was checked, and comes along.
        let Some(frame) = got.checked_sub(2).filter(|len| *len > 0) else { return Ok(()) };
        let buffer = self.spare.pop().or_else(|| self.frames.pop_front());
        if let Some(mut buffer) = buffer {
            buffer.clear();
            buffer.extend_from_slice(&octets[..frame]);
            self.frames.push_back(buffer);
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), i32> {
        if self.hdlc || self.tx.len() < BLOCK {
            return Ok(());
        }
        let mut block = [0; BLOCK];
        block.iter_mut().zip(&self.tx).for_each(|(to, from)| *to = *from);
        let errno = |error: Error| error.raw_os_error().unwrap_or(0);
        let taken = self.file().map_err(errno)?.write(&block).map_err(errno)?;
        self.tx.drain(..taken.min(BLOCK));
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    options
}

/// # Safety
/// `argument` points to what `request` reads and writes.
unsafe fn ioctl(file: &File, request: u64, argument: *mut libc::c_void) -> std::io::Result<()> {
    // SAFETY: by this function's own contract.
    match unsafe { libc::ioctl(file.as_raw_fd(), request as libc::Ioctl, argument) } {
        0.. => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_those_of_the_kernels_header() {
        // Printed by a C program on x86-64.
        let check = |got: u64, want: u64| assert_eq!(got, want, "{got:08x}");
        check(number::SPECIFY, 0x4004_da26);
        check(number::SET_BLOCKSIZE, 0x4004_da01);
        check(number::GETEVENT, 0x8004_da08);
        check(number::SPANSTAT, 0xc13a_da0a);
        check(number::SET_BUFINFO, 0x4018_da1b);
        check(number::AUDIOMODE, 0x4004_da20);
        check(number::GETRXBITS, 0x8004_da2b);
        check(number::SETTXBITS, 0x4004_da2b);
        check(number::TONEDETECT, 0x4004_da5b);
        check(number::GETVERSION, 0x80a0_da39);
        assert_eq!((size_of::<BufferInfo>(), SPAN_INFO_OCTETS), (24, 314));
    }

    #[test]
    fn alarms_are_in_our_words() {
        let check = |theirs: i32, ours: u16| assert_eq!(alarms_of(theirs), ours, "{theirs:x}");
        check(0, 0);
        check(1, alarm::DEFECT);
        check(2, alarm::LOOPED);
        check(4, alarm::RAI | alarm::DEFECT);
        check(8, alarm::LOF | alarm::DEFECT);
        check(8 | 0x100, alarm::LOF | alarm::LOS | alarm::DEFECT);
        check(16, alarm::AIS | alarm::DEFECT);
    }

    #[test]
    fn a_machine_without_dahdi_says_so() {
        let span =
            Span { number: 1, first_channel: 1, kind: SpanKind::E1, d_channels: vec![16], bits: false };
        if std::path::Path::new("/dev/dahdi/ctl").exists() {
            println!("SKIPPED: there is a DAHDI here, and it may be somebody's");
            return;
        }
        assert!(Dahdi::open(&[span]).is_err());
    }
}
