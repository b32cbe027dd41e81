//! A worker in virtual time with packets in memory: what is heard, what is refused, who is left alone.

use super::*;
use crate::command::{CaptureHandle, Command, Cut, Detectors, PromptHandle, SpecHandle, Tone};
use crate::event::{EventPacket, Sender, build};
use crate::net::sim::{SimNet, SimPacket};
use crate::pool::{CaptureSink, Lent, Prompt};
use crate::report::{CaptureEnd, DigitVia, PlayEnd, Report};
use crate::rtp::{Header, parse, write_header};
use crate::spec::Spec;
use std::net::SocketAddr;
use std::sync::Arc;
use units::{Codec, Digit, Mono, Rng, Samples, Seed};

struct Rig {
    worker: Worker<SimNet>,
    control: ControlEnds,
    ms: u64,
    specs: u32,
    heard: Vec<Report>,
    sent: Vec<SimPacket>,
}

/// A far end.
struct Far {
    local: SocketAddr,
    remote: SocketAddr,
    bearer: BearerId,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Rig {
    fn new() -> Self {
        let limits = Limits { bearers: 40, prompts: 16, specs: 64, captures: 8, ..Limits::default() };
        let (control, ends) = links(&limits);
        let worker = Worker::new(3, limits, SimNet::new(limits.places()), vec![ends]);
        Self { worker, control, ms: 1000, specs: 0, heard: Vec::new(), sent: Vec::new() }
    }

    fn send(&mut self, command: Command) {
        self.control.commands.push(command).expect("room");
    }

    fn lend_spec(&mut self, spec: Spec) -> SpecHandle {
        let handle = SpecHandle(self.specs);
        self.specs += 1;
        self.control.lends.push(Lent::Spec(handle, Box::new(spec))).expect("room");
        handle
    }

    fn open(&mut self, index: u32, codec: Codec, change: impl FnOnce(&mut Spec)) -> Far {
        let port = u16::try_from(10_000 + 2 * index).expect("small");
        let local = SocketAddr::from(([10, 0, 0, 1], port));
        let remote = SocketAddr::from(([10, 0, 0, 2], port));
        let bearer = BearerId { worker: 3, generation: 1, index };
        let mut spec = Spec::rtp(local, remote, codec, Seed(u64::from(index))).with_events(101);
        change(&mut spec);
        let spec = self.lend_spec(spec);
        self.send(Command::Open { bearer, spec });
        self.run(1);
        let ssrc = 0xf000 + index;
        Far { local, remote, bearer, sequence: 65_500, timestamp: 4_294_960_000, ssrc }
    }

    /// Runs so many milliseconds.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            self.worker.tick(Now { mono: Mono::from_ms(self.ms), ..Now::default() });
            while let Ok(report) = self.control.reports.pop() {
                self.heard.push(report);
            }
            while let Some(packet) = self.worker.net_mut().sent() {
                self.sent.push(packet);
            }
        }
    }

    fn deliver(&mut self, far: &Far, bytes: Vec<u8>) {
        self.worker.net_mut().deliver(SimPacket { local: far.local, remote: far.remote, bytes });
    }

    /// 20 ms of audio both ways for each.
    fn talk(&mut self, fars: &mut [(&mut Far, Codec, u8)], frames: u32) {
        for _ in 0..frames {
            for (far, codec, octet) in fars.iter_mut() {
                let bytes = far.packet(codec.payload_type(), &[*octet; FRAME]);
                self.deliver(far, bytes);
            }
            self.run(20);
        }
    }

    /// Payloads sent to a far end since the last question, oldest first.
    fn sent_to(&mut self, far: &Far) -> Vec<(u8, Vec<u8>)> {
        let (mine, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.sent).into_iter().partition(|p| p.remote == far.remote);
        self.sent = rest;
        mine.iter()
            .map(|p| parse(&p.bytes).expect("ours"))
            .map(|p| (p.payload_type, p.payload.to_vec()))
            .collect()
    }

    fn digits(&mut self) -> String {
        let digits = self.heard.iter().filter_map(|r| match r {
            Report::Digit { digit, .. } => Some(digit.as_char()),
            _ => None,
        });
        let digits = digits.collect();
        self.heard.retain(|r| !matches!(r, Report::Digit { .. }));
        digits
    }
}

impl Far {
    fn packet(&mut self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        self.at(payload_type, self.timestamp, payload)
    }

    fn at(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 12 + payload.len()];
        let header =
            Header { marker: false, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        write_header(&mut bytes, &header);
        bytes[12..].copy_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        bytes
    }

    /// The packets of a press of so many frames, one a frame, `None` where there is a pause.
    fn press(&mut self, sender: &mut Sender, digit: u8, frames: u32) -> Vec<Option<Vec<u8>>> {
        sender.begin(Digit::from_event(digit).expect("a digit"), frames * 160, self.timestamp);
        let mut packets = Vec::new();
        while !sender.idle() {
            packets.push(sender.frame().map(|p| self.at(101, p.timestamp, &build(p.event))));
        }
        packets
    }
}

fn prompt(rig: &mut Rig, handle: u32, octet: u8, frames: usize) -> PromptHandle {
    let prompt = Arc::new(Prompt::new(Codec::Pcmu, Arc::new(vec![octet; frames * FRAME])));
    rig.control.lends.push(Lent::Prompt(PromptHandle(handle), prompt)).expect("room");
    PromptHandle(handle)
}

fn play(rig: &mut Rig, far: &Far, item: u32, prompt: PromptHandle, cut: Cut) {
    let (offset, length) = (Samples(0), Samples(u32::MAX));
    rig.send(Command::Play { bearer: far.bearer, item, prompt, offset, length, cut });
}

/// F8: 10,000 presses at 20 % loss with jitter and duplicates, through the whole worker, in virtual time.
#[test]
fn rfc4733_ten_thousand_presses_at_twenty_per_cent_loss_each_once() {
    let mut rig = Rig::new();
    let mut far = rig.open(5, Codec::Pcmu, |_| ());
    let mut rng = Seed(20).rng();
    let mut sender = Sender::default();
    let (mut sent, mut heard) = (String::new(), String::new());
    for _ in 0..10_000 {
        let digit = u8::try_from(rng.below(16)).expect("below 16");
        sent.push(Digit::from_event(digit).expect("a digit").as_char());
        for packet in far.press(&mut sender, digit, 5) {
            if let Some(bytes) = packet
                && !rng.chance(0.2)
            {
                rig.deliver(&far, bytes.clone());
                if rng.chance(0.02) {
                    rig.deliver(&far, bytes.clone());
                }
            }
            rig.run(20);
        }
        heard += &rig.digits();
        rig.sent.clear();
    }
    assert!(sent == heard, "{} of {} heard", heard.len(), sent.len());
}

#[test]
fn a_digit_cuts_within_the_tick() {
    let mut rig = Rig::new();
    let mut far = rig.open(0, Codec::Pcmu, |_| ());
    let (a, b) = (prompt(&mut rig, 0, 1, 100), prompt(&mut rig, 1, 2, 100));
    play(&mut rig, &far, 1, a, Cut::Digit);
    play(&mut rig, &far, 2, b, Cut::Digit);
    rig.run(100);
    assert!(rig.sent_to(&far).iter().any(|(_, p)| p == &[1; FRAME]));
    let press = build(EventPacket { event: 3, end: false, volume: 9, duration: 160 });
    let bytes = far.packet(101, &press);
    rig.deliver(&far, bytes);
    rig.heard.clear();
    rig.run(1);
    let told: Vec<_> = rig.heard.drain(..).filter(|r| !matches!(r, Report::FirstPacket { .. })).collect();
    assert!(
        matches!(
            told[..],
            [
                Report::Digit { via: DigitVia::Event, .. },
                Report::PlayEnded { item: 1, end: PlayEnd::CutByDigit, .. },
                Report::PlayEnded { item: 2, end: PlayEnd::CutByDigit, heard: Samples(0), .. }
            ]
        ),
        "{told:?}"
    );
    rig.run(100);
    assert!(
        rig.sent_to(&far).iter().all(|(_, p)| p == &[0xff; FRAME]),
        "nothing of the prompt after the digit"
    );
}

#[test]
fn voice_cuts_what_allows_it() {
    let mut rig = Rig::new();
    let voice = Detectors { voice: true, ..Detectors::default() };
    let mut far = rig.open(0, Codec::Pcmu, |s| s.detectors = voice);
    let a = prompt(&mut rig, 0, 1, 500);
    play(&mut rig, &far, 1, a, Cut::DigitOrVoice);
    // An octet of a loud level, alternating in sign by nature of a square wave is not needed: a level is a level.
    rig.talk(&mut [(&mut far, Codec::Pcmu, 0x90)], 20);
    assert!(rig.heard.iter().any(|r| matches!(r, Report::Voice { on: true, .. })));
    assert!(rig.heard.iter().any(|r| matches!(r, Report::PlayEnded { end: PlayEnd::CutByVoice, .. })));
}

/// From the arrival of the first packet of speech (its sound began 20 ms before) to the last packet of the prompt that
/// leaves, for every phase between the two streams; the caller's line has the noise of a quiet room.
#[test]
fn voice_cuts_a_prompt_within_100_ms_of_its_first_sound() {
    use hw::dsp::g711::linear_to_mu;
    let mut worst = 0;
    for phase in 0..20 {
        let mut rig = Rig::new();
        let voice = Detectors { voice: true, ..Detectors::default() };
        let mut far = rig.open(0, Codec::Pcmu, |s| s.detectors = voice);
        let a = prompt(&mut rig, 0, 1, 500);
        let mut rng = Seed(phase).rng();
        let mut sound = |level: i16| -> Vec<u8> {
            (0..160_u16)
                .map(|n| {
                    let noise = i16::try_from(rng.below(40)).expect("small") - 20;
                    linear_to_mu(noise + if n % 40 < 20 { level } else { -level })
                })
                .collect()
        };
        for _ in 0..50 {
            let bytes = far.packet(0, &sound(0));
            rig.deliver(&far, bytes);
            rig.run(20);
        }
        rig.run(phase);
        play(&mut rig, &far, 1, a, Cut::DigitOrVoice);
        rig.run(20 - phase);
        for _ in 0..10 {
            let bytes = far.packet(0, &sound(0));
            rig.deliver(&far, bytes);
            rig.run(20);
        }
        assert!(rig.sent_to(&far).iter().any(|(_, p)| p == &[1; FRAME]), "the prompt plays");
        let mut last = 0;
        for frame in 0..25 {
            // -20 dBm0 or so: speech, not shouting.
            let bytes = far.packet(0, &sound(1_600));
            rig.deliver(&far, bytes);
            for ms in 0..20 {
                rig.run(1);
                if rig.sent_to(&far).iter().any(|(_, p)| p == &[1; FRAME]) {
                    last = frame * 20 + ms + 1;
                }
            }
        }
        worst = worst.max(last);
    }
    println!("the last packet of the prompt left {worst} ms after the first of speech came, at worst");
    assert!(worst <= 80, "{worst} ms and the 20 ms that the first packet took to fill are more than 100");
}

#[test]
fn hostile_packets_are_counted_by_kind_and_touch_nobody() {
    let mut rig = Rig::new();
    let mut victim = rig.open(0, Codec::Pcmu, |_| ());
    let mut other = rig.open(1, Codec::Pcmu, |_| ());
    rig.talk(&mut [(&mut victim, Codec::Pcmu, 7), (&mut other, Codec::Pcmu, 9)], 10);
    let good = victim.packet(0, &[7; FRAME]);
    let press = build(EventPacket { event: 1, end: true, volume: 0, duration: 800 });
    let mut forged = victim.packet(101, &press);
    let mut check = |change: &dyn Fn(&mut SimPacket), kind: Refused| {
        let before = rig.worker.counts().refused[kind as usize];
        let mut packet = SimPacket { local: victim.local, remote: victim.remote, bytes: good.clone() };
        change(&mut packet);
        rig.worker.net_mut().deliver(packet);
        rig.run(1);
        assert_eq!(rig.worker.counts().refused[kind as usize], before + 1, "{kind:?}");
    };
    check(&|p| p.bytes.truncate(7), Refused::Truncated);
    check(&|p| p.bytes.resize(1400, 0), Refused::Oversized);
    check(&|p| p.bytes[0] = 0, Refused::Version);
    check(&|p| p.bytes[1] = 9, Refused::Payload);
    check(&|p| p.bytes.truncate(20), Refused::Payload);
    check(&|p| p.remote.set_port(9), Refused::Source);
    check(&|p| p.bytes[8] ^= 1, Refused::Ssrc);
    check(&|p| p.bytes[2] ^= 0x80, Refused::Jump);
    rig.deliver(&victim, good.clone());
    rig.run(1);
    let replayed = rig.worker.counts().refused[Refused::Replay as usize];
    rig.deliver(&victim, good);
    rig.run(1);
    assert_eq!(rig.worker.counts().refused[Refused::Replay as usize], replayed + 1);
    // S12: telephone events only from the locked source.
    forged[11] ^= 0;
    let foreign = SocketAddr::from(([6, 6, 6, 6], 6666));
    rig.worker.net_mut().deliver(SimPacket { local: victim.local, remote: foreign, bytes: forged });
    rig.run(1);
    assert_eq!(rig.digits(), "");
    assert!(rig.sent.iter().all(|p| p.remote != foreign), "nothing is sent to the attacker");
    rig.send(Command::Close { bearer: other.bearer });
    rig.run(2);
    let closed = rig.heard.iter().find_map(|r| match r {
        Report::Closed { counts, .. } => Some(*counts),
        _ => None,
    });
    assert_eq!(
        closed.map(|c| (c.received, c.lost, c.refused)),
        Some((10, 0, 0)),
        "the other was not touched"
    );
}

#[test]
fn random_octets_reach_nobody_and_kill_nothing() {
    let mut rig = Rig::new();
    let mut fars: Vec<Far> = (0..4).map(|i| rig.open(i, Codec::Pcma, |_| ())).collect();
    let mut rng = Seed(13).rng();
    for round in 0..20_000_u32 {
        let far = &mut fars[usize::try_from(rng.below(4)).expect("small")];
        let mut bytes = far.packet(if rng.chance(0.3) { 101 } else { 8 }, &[0x55; FRAME]);
        mutate(&mut rng, &mut bytes);
        let packet = SimPacket { local: far.local, remote: far.remote, bytes };
        rig.worker.net_mut().deliver(packet);
        if round % 4 == 0 {
            rig.run(1);
            rig.heard.clear();
            rig.sent.clear();
        }
    }
    assert_eq!(rig.worker.counts().open, 4);
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        let at =
            usize::try_from(rng.below(u64::try_from(bytes.len().max(1)).expect("short"))).expect("short");
        match rng.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.resize(bytes.len() + at, 0xaa),
            _ => {
                if let Some(b) = bytes.get_mut(at.min(13)) {
                    *b ^= u8::try_from(rng.below(256)).expect("an octet");
                }
            }
        }
    }
}

#[test]
fn bridged_bearers_hear_each_other_in_their_own_codec() {
    let mut rig = Rig::new();
    let (mut a, mut b) = (rig.open(0, Codec::Pcmu, |_| ()), rig.open(9, Codec::Pcma, |_| ()));
    rig.send(Command::Bridge { a: a.bearer, b: b.bearer });
    let (mu, al) =
        (crate::codec::encode_sample(Codec::Pcmu, 3000), crate::codec::encode_sample(Codec::Pcma, -5000));
    rig.talk(&mut [(&mut a, Codec::Pcmu, mu), (&mut b, Codec::Pcma, al)], 20);
    let (at_a, at_b) = (rig.sent_to(&a), rig.sent_to(&b));
    let near = |codec, octet: u8, expected: i16| {
        let mut pcm = [0; FRAME];
        crate::codec::decode(codec, None, &[octet; FRAME], &mut pcm);
        pcm[0].abs_diff(expected) < 300
    };
    let (last_a, last_b) = (at_a.last().expect("sent"), at_b.last().expect("sent"));
    assert!(near(Codec::Pcmu, last_a.1[80], -5000) && near(Codec::Pcma, last_b.1[80], 3000));
    rig.send(Command::Unbridge { bearer: b.bearer });
    rig.talk(&mut [(&mut a, Codec::Pcmu, mu), (&mut b, Codec::Pcma, al)], 3);
    assert_eq!(rig.sent_to(&a).last().expect("sent").1, [0xff; FRAME]);
}

#[test]
fn three_are_mixed_each_without_himself() {
    let mut rig = Rig::new();
    let mut fars: Vec<Far> = (0..3).map(|i| rig.open(i * 7, Codec::Pcmu, |_| ())).collect();
    rig.send(Command::Bridge { a: fars[0].bearer, b: fars[1].bearer });
    rig.send(Command::Bridge { a: fars[0].bearer, b: fars[2].bearer });
    let levels = [1000_i16, 4000, -9000];
    for _ in 0..20 {
        for (far, level) in fars.iter_mut().zip(levels) {
            let bytes = far.packet(0, &[crate::codec::encode_sample(Codec::Pcmu, level); FRAME]);
            rig.worker.net_mut().deliver(SimPacket { local: far.local, remote: far.remote, bytes });
        }
        rig.run(20);
    }
    for (far, expected) in fars.iter().zip([-5000_i16, -8000, 5000]) {
        let sent = rig.sent_to(far);
        let mut pcm = [0; FRAME];
        let last: [u8; FRAME] = sent.last().expect("sent").1[..].try_into().expect("a frame");
        crate::codec::decode(Codec::Pcmu, None, &last, &mut pcm);
        assert!(pcm[80].abs_diff(expected) < 400, "{} for {expected}", pcm[80]);
    }
}

#[test]
fn a_capture_ends_by_silence_and_comes_back() {
    let mut rig = Rig::new();
    let mut far = rig.open(4, Codec::Pcmu, |_| ());
    let (sink, ring) = rtrb::RingBuffer::new(100_000);
    let capture = CaptureSink { ring: sink, codec: Codec::Pcmu, failed: Arc::default() };
    rig.control.lends.push(Lent::Capture(CaptureHandle(2), Box::new(capture))).expect("room");
    rig.send(Command::Capture {
        bearer: far.bearer,
        into: CaptureHandle(2),
        both: false,
        length_max: Samples::from_ms(60_000),
        final_silence: Samples::from_ms(1000),
        digit_ends: true,
    });
    rig.talk(&mut [(&mut far, Codec::Pcmu, 0x90)], 50);
    rig.talk(&mut [(&mut far, Codec::Pcmu, 0xff)], 60);
    let ended = rig.heard.iter().find_map(|r| match r {
        Report::CaptureEnded { end, length, sound, .. } => Some((*end, length.as_ms(), *sound)),
        _ => None,
    });
    let (end, ms, sound) = ended.expect("an end");
    assert!(end == CaptureEnd::Silence && sound && (1900..2300).contains(&ms), "{end:?} {ms}");
    assert_eq!(ring.slots(), usize::try_from(ms).expect("small") * 8);
    let back = std::iter::from_fn(|| rig.control.returns.pop().ok());
    assert_eq!(back.filter(|l| matches!(l, Lent::Capture(CaptureHandle(2), _))).count(), 1);
}

#[test]
fn who_listens_along_hears_all_and_is_never_waited_for() {
    let mut rig = Rig::new();
    let mut far = rig.open(4, Codec::Pcma, |_| ());
    // Ten frames fit; twenty come.
    let (sink, mut ring) = rtrb::RingBuffer::new(10 * FRAME);
    let tap = CaptureSink { ring: sink, codec: Codec::Pcmu, failed: Arc::default() };
    let failed = Arc::clone(&tap.failed);
    rig.control.lends.push(Lent::Capture(CaptureHandle(2), Box::new(tap))).expect("room");
    rig.send(Command::Tap { bearer: far.bearer, into: CaptureHandle(2) });
    rig.talk(&mut [(&mut far, Codec::Pcma, 0x90)], 20);
    assert_eq!(ring.slots(), 10 * FRAME);
    let want = hw::dsp::g711::linear_to_mu(hw::dsp::g711::a_to_linear(0x90));
    let heard: Vec<u8> = std::iter::from_fn(|| ring.pop().ok()).collect();
    assert!(heard.iter().filter(|&&o| o == want).count() > 8 * FRAME, "{heard:?}");
    // It goes back when nobody wants it, and at the bearer's end.
    failed.store(true, std::sync::atomic::Ordering::Relaxed);
    rig.talk(&mut [(&mut far, Codec::Pcma, 0x90)], 2);
    let back = |rig: &mut Rig| std::iter::from_fn(|| rig.control.returns.pop().ok()).collect::<Vec<_>>();
    assert!(matches!(back(&mut rig)[..], [Lent::Capture(CaptureHandle(2), _)]));
    let (sink, _ring) = rtrb::RingBuffer::new(10 * FRAME);
    let tap = CaptureSink { ring: sink, codec: Codec::Pcmu, failed: Arc::default() };
    rig.control.lends.push(Lent::Capture(CaptureHandle(3), Box::new(tap))).expect("room");
    rig.send(Command::Tap { bearer: far.bearer, into: CaptureHandle(3) });
    rig.send(Command::Close { bearer: far.bearer });
    rig.run(40);
    assert!(back(&mut rig).iter().any(|l| matches!(l, Lent::Capture(CaptureHandle(3), _))));
}

#[test]
fn every_item_ends_once_also_when_the_bearer_is_gone() {
    let mut rig = Rig::new();
    let far = rig.open(0, Codec::Pcmu, |_| ());
    let p = prompt(&mut rig, 0, 1, 10);
    for item in 0..20 {
        play(&mut rig, &far, item, p, Cut::Never);
    }
    rig.send(Command::Tone {
        bearer: far.bearer,
        item: 20,
        tone: Some(Tone::Busy),
        length: Samples(u32::MAX),
        cut: Cut::Never,
    });
    rig.send(Command::ReturnPrompt { prompt: p });
    rig.send(Command::Close { bearer: far.bearer });
    play(&mut rig, &far, 21, p, Cut::Never);
    rig.run(100);
    let mut ended: Vec<_> = rig
        .heard
        .iter()
        .filter_map(|r| if let Report::PlayEnded { item, .. } = r { Some(*item) } else { None })
        .collect();
    ended.sort_unstable();
    assert_eq!(ended, (0..22).collect::<Vec<_>>());
    assert_eq!(rig.heard.iter().filter(|r| matches!(r, Report::PromptReturned { .. })).count(), 1);
    let back: Vec<_> = std::iter::from_fn(|| rig.control.returns.pop().ok()).collect();
    assert!(
        matches!(back[..], [Lent::Spec(..), Lent::Prompt(..)] | [Lent::Prompt(..), Lent::Spec(..)]),
        "{back:?}"
    );
}

#[test]
fn digits_are_sent_as_events_or_as_tones() {
    let mut rig = Rig::new();
    let events = rig.open(0, Codec::Pcmu, |_| ());
    let tones = rig.open(1, Codec::Pcmu, |s| {
        if let crate::spec::Medium::Rtp(rtp) = &mut s.medium {
            rtp.event_payload_type = None;
        }
    });
    for bearer in [events.bearer, tones.bearer] {
        for c in ['4', '#'] {
            let digit = Digit::try_from(c).expect("a digit");
            rig.send(Command::SendDigit { bearer, digit, length: Samples::from_ms(100) });
        }
    }
    rig.run(1000);
    let (sent, mut r) = (rig.sent.clone(), crate::event::Receiver::default());
    let mut heard = String::new();
    for packet in sent.iter().filter(|p| p.remote == events.remote).map(|p| parse(&p.bytes).expect("ours")) {
        if packet.payload_type == 101 {
            let event = crate::event::parse(packet.payload).expect("an event");
            if let crate::event::Heard::Pressed(d) = r.receive(packet.sequence, packet.timestamp, event) {
                heard.push(d.as_char());
            }
        }
    }
    assert_eq!(heard, "4#");
    let mut detector = hw::dsp::dtmf::Detector::default();
    let mut heard = String::new();
    for (_, payload) in rig.sent_to(&tones) {
        let mut pcm = [0; FRAME];
        crate::codec::decode(Codec::Pcmu, None, &payload[..].try_into().expect("a frame"), &mut pcm);
        detector.feed(&pcm, &mut |e| {
            if e.edge == hw::dsp::dtmf::Edge::Start {
                heard.push(e.digit.as_char());
            }
        });
    }
    assert_eq!(heard, "4#");
}

#[test]
fn an_edge_waits_for_room_in_the_ring() {
    let limits = Limits { bearers: 20, report_ring_slots: 2, prompts: 4, ..Limits::default() };
    let (mut control, ends) = links(&limits);
    let mut worker = Worker::new(0, limits, SimNet::new(limits.places()), vec![ends]);
    let nobody = BearerId::default();
    for item in 0..50 {
        let command = Command::Tone { bearer: nobody, item, tone: None, length: Samples(1), cut: Cut::Never };
        control.commands.push(command).expect("room");
    }
    let mut items = Vec::new();
    for ms in 0..100 {
        worker.tick(Now { mono: Mono::from_ms(ms), ..Now::default() });
        while let Ok(Report::PlayEnded { item, .. }) = control.reports.pop() {
            items.push(item);
        }
    }
    assert_eq!(items, (0..50).collect::<Vec<_>>());
    assert_eq!(worker.counts().edges_lost, 0);
}

#[test]
fn rfc3550_6_4_reports_are_sent_and_tell_the_loss() {
    let mut rig = Rig::new();
    let mut far = rig.open(2, Codec::Pcmu, |_| ());
    for i in 0..1000_u32 {
        let bytes = far.packet(0, &[1; FRAME]);
        if i % 4 != 3 {
            rig.deliver(&far, bytes);
        }
        rig.run(20);
    }
    let to = SocketAddr::new(far.remote.ip(), far.remote.port() + 1);
    let reports: Vec<_> = rig.sent.iter().filter(|p| p.remote == to).collect();
    assert!((2..=8).contains(&reports.len()), "{} reports in 20 s", reports.len());
    assert!(reports.iter().all(|p| p.local.port() == far.local.port() + 1));
    let last = crate::rtcp::read(&reports.last().expect("some").bytes, far.ssrc).expect("ours");
    let block = last.about_us.expect("a block about the far side");
    assert!(block.fraction.abs_diff(64) <= 2 && block.lost > 100, "{block:?}");
    rig.sent.clear();
    rig.send(Command::Close { bearer: far.bearer });
    rig.run(1);
    let bye = rig.sent.iter().find(|p| p.remote == to).expect("a BYE");
    assert!(crate::rtcp::read(&bye.bytes, 0).expect("ours").bye);
}

#[test]
fn srtp_both_ways_and_nothing_in_the_clear() {
    use crate::srtp::{MASTER, Srtp, Suite};
    let mut rig = Rig::new();
    let (ours, theirs) = ([1; MASTER], [2; MASTER]);
    let mut far = rig.open(0, Codec::Pcmu, |s| {
        *s = s.clone().with_srtp(Srtp::new(Suite::HmacSha1_80, &ours, &theirs));
    });
    let mut end = Srtp::new(Suite::HmacSha1_80, &theirs, &ours);
    let press = build(EventPacket { event: 7, end: false, volume: 9, duration: 160 });
    let clear = far.packet(101, &press);
    rig.deliver(&far, clear.clone());
    rig.run(1);
    assert_eq!((rig.digits(), rig.worker.counts().refused.iter().sum::<u64>()), (String::new(), 1));
    let mut protected = clear;
    let len = protected.len();
    protected.resize(len + crate::srtp::GROWTH, 0);
    let n = end.protect(&mut protected, len);
    protected.truncate(n);
    rig.deliver(&far, protected);
    rig.run(100);
    assert_eq!(rig.digits(), "7");
    let mut sent = std::mem::take(&mut rig.sent);
    assert!(sent.len() > 4);
    for packet in sent.iter_mut().filter(|p| p.remote == far.remote) {
        assert_eq!(end.unprotect(&mut packet.bytes), Ok(172));
        assert_eq!(packet.bytes[12..172], [0xff; FRAME]);
    }
    // A new specification with the same keys goes on counting: the same packets are still replays.
    let mut spec = Spec::rtp(far.local, far.remote, Codec::Pcmu, Seed(9)).with_events(101);
    spec = spec.with_srtp(Srtp::new(Suite::HmacSha1_80, &ours, &theirs));
    let spec = rig.lend_spec(spec);
    rig.send(Command::Respec { bearer: far.bearer, spec });
    rig.run(40);
    let mut last = rig.sent.pop().expect("sent on");
    assert_eq!(end.unprotect(&mut last.bytes), Ok(172));
}

/// A card of one E1 whose line plugs slot 1 into slot 2 and the other way round.
struct Crossed {
    info: hw::card::CardInfo,
    pressed: Vec<hw::card::CardReport>,
}

impl hw::card::Card for Crossed {
    fn info(&self) -> &hw::card::CardInfo {
        &self.info
    }

    fn exchange(&mut self, tick: &mut hw::card::Tick<'_>) -> Result<(), hw::card::CardError> {
        let n = tick.octets;
        tick.rx.copy_from_slice(tick.tx);
        tick.rx[..n].copy_from_slice(&tick.tx[n..2 * n]);
        tick.rx[n..2 * n].copy_from_slice(&tick.tx[..n]);
        Ok(())
    }

    fn poll(&mut self) -> Option<hw::card::CardReport> {
        self.pressed.pop()
    }

    fn set_bits(&mut self, _span: u16, _slot: u8, _abcd: u8) {}

    fn send_frame(&mut self, _span: u16, _slot: u8, _frame: &[u8]) -> bool {
        false
    }

    fn receive_frame(&mut self, _span: u16, _slot: u8, _into: &mut [u8]) -> Option<usize> {
        None
    }
}

#[test]
fn timeslots_are_bearers_and_bridge_with_rtp() {
    let mut rig = Rig::new();
    let (span, slot, digit) = (0, 1, Digit::from_event(8).expect("a digit"));
    let pressed = vec![hw::card::CardReport::Digit { span, slot, digit, down: true }];
    let info = hw::card::CardInfo {
        name: "crossed".into(),
        spans: vec![hw::card::SpanKind::E1],
        offload: hw::card::Offload::default(),
    };
    let (_, ends) = links(&Limits::default());
    let idle = Worker::new(0, Limits::default(), SimNet::new(1), vec![ends]);
    rig.worker = std::mem::replace(&mut rig.worker, idle).with_card(Box::new(Crossed { info, pressed }));
    let bearer = |index| BearerId { worker: 3, generation: 1, index };
    for (index, slot) in [(20, 1), (27, 2), (28, 2), (29, 32)] {
        let spec = rig.lend_spec(Spec::timeslot(0, slot, Codec::Pcma));
        rig.send(Command::Open { bearer: bearer(index), spec });
    }
    rig.run(1);
    let failed = rig.heard.iter().filter(|r| matches!(r, Report::OpenFailed { .. })).count();
    assert_eq!(failed, 2, "a taken slot and one that does not exist");
    // RTP far end <-> slot 1 <-> (line) <-> slot 2, which plays a prompt.
    let mut far = rig.open(0, Codec::Pcma, |_| ());
    rig.send(Command::Bridge { a: far.bearer, b: bearer(20) });
    let prompt = Arc::new(Prompt::new(Codec::Pcma, Arc::new(vec![0x11; 80_000])));
    rig.control.lends.push(Lent::Prompt(PromptHandle(1), prompt)).expect("room");
    let (offset, length, cut) = (Samples(0), Samples(u32::MAX), Cut::Never);
    let (item, prompt) = (1, PromptHandle(1));
    rig.send(Command::Play { bearer: bearer(27), item, prompt, offset, length, cut });
    let (sink, mut ring) = rtrb::RingBuffer::new(100_000);
    let capture = CaptureSink { ring: sink, codec: Codec::Pcma, failed: Arc::default() };
    rig.control.lends.push(Lent::Capture(CaptureHandle(0), Box::new(capture))).expect("room");
    let (into, both, length_max, final_silence) =
        (CaptureHandle(0), false, Samples(u32::MAX), Samples(u32::MAX));
    rig.send(Command::Capture {
        bearer: bearer(27),
        into,
        both,
        length_max,
        final_silence,
        digit_ends: false,
    });
    rig.talk(&mut [(&mut far, Codec::Pcma, 0x2a)], 50);
    assert_eq!(rig.sent_to(&far).last().expect("sent").1, [0x11; FRAME], "the far end hears slot 2's prompt");
    let recorded: Vec<u8> = std::iter::from_fn(|| ring.pop().ok()).collect();
    assert_eq!(recorded[recorded.len() - 160..], [0x2a; 160], "slot 2 hears the far end");
    assert!(
        rig.heard
            .iter()
            .any(|r| matches!(r, Report::Digit { via: DigitVia::Card, bearer, .. } if bearer.index == 20))
    );
}

#[test]
fn a_splice_joins_two_workers() {
    let (mut one, mut two) = (Rig::new(), Rig::new());
    let (mut a, mut b) = (one.open(3, Codec::Pcmu, |_| ()), two.open(8, Codec::Pcma, |_| ()));
    let (for_a, for_b) = splice();
    one.control.lends.push(Lent::Splice(a.bearer, Box::new(for_a))).expect("room");
    two.control.lends.push(Lent::Splice(b.bearer, Box::new(for_b))).expect("room");
    let octet = |codec, level| crate::codec::encode_sample(codec, level);
    for _ in 0..20 {
        let (x, y) = (octet(Codec::Pcmu, 3000), octet(Codec::Pcma, -5000));
        let bytes = a.packet(0, &[x; FRAME]);
        one.deliver(&a, bytes);
        let bytes = b.packet(8, &[y; FRAME]);
        two.deliver(&b, bytes);
        for _ in 0..20 {
            one.run(1);
            two.run(1);
        }
    }
    let mut pcm = [0; FRAME];
    let last: [u8; FRAME] = one.sent_to(&a).last().expect("sent").1[..].try_into().expect("a frame");
    crate::codec::decode(Codec::Pcmu, None, &last, &mut pcm);
    assert!(pcm[80].abs_diff(-5000) < 300, "{}", pcm[80]);
    one.send(Command::Unbridge { bearer: a.bearer });
    one.run(1);
    assert!(std::iter::from_fn(|| one.control.returns.pop().ok()).any(|l| matches!(l, Lent::Splice(..))));
    two.send(Command::Close { bearer: b.bearer });
    two.run(1);
    assert!(std::iter::from_fn(|| two.control.returns.pop().ok()).any(|l| matches!(l, Lent::Splice(..))));
}

/// F8: a tone through 5 % loss: what is not heard at its level is at most loss + 2 %.
#[test]
fn concealment_keeps_the_gaps_below_the_loss() {
    let mut rig = Rig::new();
    let (mut a, b) = (rig.open(0, Codec::Pcmu, |_| ()), rig.open(9, Codec::Pcmu, |_| ()));
    rig.send(Command::Bridge { a: a.bearer, b: b.bearer });
    let mut tone = hw::dsp::tone::Chord::new(&[hw::dsp::tone::Sine { hz: 200.0, dbm0: -10.0 }]);
    let mut rng = Seed(55).rng();
    for _ in 0..3000 {
        let (mut pcm, mut octets) = ([0; FRAME], [0; FRAME]);
        tone.fill(&mut pcm);
        crate::codec::encode(Codec::Pcmu, None, &pcm, &mut octets);
        let bytes = a.packet(0, &octets);
        if !rng.chance(0.05) {
            rig.deliver(&a, bytes);
        }
        rig.run(20);
    }
    let sent = rig.sent_to(&b);
    let loud = sent.iter().filter(|(_, payload)| {
        let mut pcm = [0; FRAME];
        crate::codec::decode(Codec::Pcmu, None, &payload[..].try_into().expect("a frame"), &mut pcm);
        hw::dsp::level::of(&pcm) > -16.0
    });
    let gaps = sent.len() - loud.count();
    assert!(gaps * 100 <= sent.len() * 7, "{gaps} of {} frames are gaps", sent.len());
    assert!(gaps * 100 <= sent.len() * 2, "concealment hides single losses: {gaps} of {}", sent.len());
}
