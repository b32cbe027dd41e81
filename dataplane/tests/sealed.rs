//! Inside a tick nothing is allocated or freed: a sealing global allocator counts what a sealed thread does.

use dataplane::command::{CaptureHandle, Command, Cut, Detectors, PromptHandle, SpecHandle, Tone};
use dataplane::limits::Limits;
use dataplane::net::sim::{SimNet, SimPacket};
use dataplane::pool::{CaptureSink, Lent, Prompt};
use dataplane::rtp::{Header, write_header};
use dataplane::spec::Spec;
use dataplane::worker::{Worker, links};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use units::{BearerId, Codec, Digit, Mono, Now, Samples, Seed};

thread_local! {
    static SEALED: Cell<bool> = const { Cell::new(false) };
    static BROKEN: Cell<u32> = const { Cell::new(0) };
}

struct Sealing;

fn note() {
    // An allocator must not unwind: it counts, the test judges.
    let _ = SEALED.try_with(|sealed| {
        if sealed.get() {
            let _ = BROKEN.try_with(|broken| broken.set(broken.get() + 1));
        }
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches two cells without destructors.
unsafe impl GlobalAlloc for Sealing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note();
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Sealing = Sealing;

fn sealed<T>(act: impl FnOnce() -> T) -> T {
    SEALED.set(true);
    let result = act();
    SEALED.set(false);
    result
}

const FARS: u32 = 30;

fn packet(i: u32, n: u32, payload_type: u8, payload: &[u8]) -> SimPacket {
    let port = u16::try_from(10_000 + 2 * i).expect("small");
    let mut bytes = vec![0; 12 + payload.len()];
    let sequence = u16::try_from(n % 65_536).expect("16 bits");
    write_header(&mut bytes, &Header { marker: false, payload_type, sequence, timestamp: n * 160, ssrc: i });
    bytes[12..].copy_from_slice(payload);
    // The simulated net frees what it has handed over: outside the seal, hence kept alive by the caller.
    SimPacket { local: ([10, 0, 0, 1], port).into(), remote: ([10, 0, 0, 2], port).into(), bytes }
}

#[test]
fn a_tick_neither_allocates_nor_frees() {
    assert_eq!(sealed(|| vec![1_u8; 10]).len(), 10);
    assert!(BROKEN.replace(0) > 0, "the seal sees an allocation");

    let limits = Limits { bearers: 100, prompts: 16, captures: 64, specs: 128, ..Limits::default() };
    let (mut control, ends) = links(&limits);
    let mut net = SimNet::new(limits.places());
    net.silence();
    net.reserve(10_000);
    net.keep(100_000);
    let mut worker = Worker::new(0, limits, net, vec![ends]);
    let (offset, length) = (Samples(0), Samples(u32::MAX));
    let prompt = Arc::new(Prompt::from_linear(&[1000; 4000]));
    control.lends.push(Lent::Prompt(PromptHandle(0), prompt)).expect("room");
    let bearer = |index| BearerId { worker: 0, generation: 0, index };
    let mut rings = Vec::new();
    for i in 0..FARS {
        let port = u16::try_from(10_000 + 2 * i).expect("small");
        let (local, remote) =
            (SocketAddr::from(([10, 0, 0, 1], port)), SocketAddr::from(([10, 0, 0, 2], port)));
        let codec = if i == 7 { Codec::G722 } else { Codec::Pcmu };
        let mut spec = Spec::rtp(local, remote, codec, Seed(u64::from(i))).with_events(101);
        spec.detectors = Detectors { dtmf: true, progress: true, machine: true, voice: true };
        control.lends.push(Lent::Spec(SpecHandle(i), Box::new(spec.prepared()))).expect("room");
        control.commands.push(Command::Open { bearer: bearer(i), spec: SpecHandle(i) }).expect("room");
        for item in 0..3 {
            let (bearer, prompt, cut) = (bearer(i), PromptHandle(0), Cut::Digit);
            control.commands.push(Command::Play { bearer, item, prompt, offset, length, cut }).expect("room");
            let tone = Some(Tone::Ringback);
            let command = Command::Tone { bearer, item: 9, tone, length: Samples(2000), cut: Cut::Never };
            control.commands.push(command).expect("room");
        }
        let (sink, ring) = rtrb::RingBuffer::new(100_000);
        rings.push(ring);
        let sink = Box::new(CaptureSink { ring: sink, codec: Codec::Pcma, failed: Arc::default() });
        control.lends.push(Lent::Capture(CaptureHandle(i), sink)).expect("room");
        let (length_max, final_silence) = (Samples(50_000), Samples(40_000));
        let (bearer, into) = (bearer(i), CaptureHandle(i));
        let command =
            Command::Capture { bearer, into, both: true, length_max, final_silence, digit_ends: true };
        control.commands.push(command).expect("room");
    }
    control.commands.push(Command::Bridge { a: bearer(0), b: bearer(1) }).expect("room");
    control.commands.push(Command::Bridge { a: bearer(0), b: bearer(2) }).expect("room");
    let digit = Digit::from_event(5).expect("a digit");
    control
        .commands
        .push(Command::SendDigit { bearer: bearer(3), digit, length: Samples(800) })
        .expect("room");
    for ms in 0..4000_u32 {
        if ms % 20 == 0 && ms % 400 != 0 {
            for i in 0..FARS {
                let event = ms > 3000 && ms < 3100 && i % 2 == 0;
                let payload = if event { &[5, 0x0a, 3, 0x20][..] } else { &[0x90; 160] };
                worker.net_mut().deliver(packet(i, ms / 20, if event { 101 } else { 0 }, payload));
            }
        }
        if ms == 3500 {
            (0..FARS)
                .for_each(|i| control.commands.push(Command::Close { bearer: bearer(i) }).expect("room"));
            control.commands.push(Command::ReturnPrompt { prompt: PromptHandle(0) }).expect("room");
        }
        sealed(|| worker.tick(Now { mono: Mono::from_ms(u64::from(ms)), ..Now::default() }));
        assert_eq!(BROKEN.replace(0), 0, "allocated or freed in the tick at {ms} ms");
    }
    let mut reports = 0;
    while control.reports.pop().is_ok() {
        reports += 1;
    }
    assert!(reports > FARS * 8, "the worker did its work: {reports} reports");
    assert_eq!(worker.counts().open, 0);
}
