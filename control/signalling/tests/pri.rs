//! Primary rate calls over a card in software: two spans wired to each other, both sides ours, bit errors on the line.
//! Goal: every call ends once and every channel is idle afterwards. Method: virtual time, one millisecond a tick.

use hw::card::{Card, SpanKind, Tick};
use hw::soft::{Fault, Loopback, Rates, Tap, TapLimits, Wiring};
use signalling::isdn::pri::{Ask, ChannelState, Config, Hunt, Input, Limits, Output, Pri, Span};
use signalling::isdn::q921::Side;
use signalling::isdn::q931::call::Timers;
use signalling::isdn::switch::{EURO, NI2, Switch};
use signalling::leg::{Action, Indication, Media};
use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use units::{Cause, LegId, Mono, Now, Private, Rng, Seed, Wall};

const THEIRS: u64 = 1 << 62;

/// Two ends of a line: span 0 of the card is the network's, span 1 the user's.
struct Line<C> {
    card: C,
    ends: [Pri; 2],
    d_slot: u8,
    waiting: [VecDeque<Vec<u8>>; 2],
    told: VecDeque<(usize, LegId, Indication)>,
    now: Now,
    tx: Vec<u8>,
    rx: Vec<u8>,
}

fn kind_of(switch: Switch) -> (SpanKind, u8) {
    if switch == NI2 { (SpanKind::T1, 24) } else { (SpanKind::E1, 16) }
}

fn pri(side: Side, switch: Switch, number: u16, hunt: Hunt) -> Pri {
    let (kind, d) = kind_of(switch);
    let channels = (1..=kind.slots()).filter(|s| *s != d).collect();
    let mut pri = Pri::new(Config {
        side,
        switch,
        timers: Timers::of(side),
        spans: vec![Span { number, interface: None, channels, d_channel: true }],
        hunt,
        overlap_dial: false,
        overlap_receive: None,
        transfer: false,
        legs_from: THEIRS,
        limits: Limits::default(),
    });
    pri.start(Now::default());
    pri
}

impl<C: Card> Line<C> {
    fn new(switch: Switch, hunts: [Hunt; 2], wrap: impl FnOnce(Loopback) -> C) -> Self {
        let (kind, d_slot) = kind_of(switch);
        let card = Loopback::new(&[kind, kind], Wiring::Pairs, &[(0, d_slot), (1, d_slot)]);
        let octets = usize::from(kind.slots()) * 2 * 8;
        let ends = [pri(Side::Network, switch, 1, hunts[0]), pri(Side::User, switch, 2, hunts[1])];
        Self {
            card: wrap(card),
            ends,
            d_slot,
            waiting: Default::default(),
            told: VecDeque::new(),
            now: Now { mono: Mono::default(), wall: Wall(1_700_000_000_000) },
            tx: vec![0xFF; octets],
            rx: vec![0; octets],
        }
    }

    fn put(&mut self, end: usize, input: Input<'_>) {
        self.ends[end].handle(self.now, input);
        self.drain(end);
    }

    fn drain(&mut self, end: usize) {
        while let Some(output) = self.ends[end].poll() {
            match output {
                Output::Frame { octets, .. } => self.waiting[end].push_back(octets),
                Output::Leg(leg, indication) => self.told.push_back((end, leg, indication)),
                Output::Link { .. } => {}
            }
        }
    }

    /// One millisecond.
    fn tick(&mut self) {
        self.now = self.now.plus(std::time::Duration::from_millis(1));
        for (end, span) in [(0, 0u16), (1, 1)] {
            if self.ends[end].deadline().is_some_and(|at| at <= self.now.mono) {
                self.put(end, Input::Timer);
            }
            self.drain(end);
            while let Some(frame) = self.waiting[end].front()
                && self.card.send_frame(span, self.d_slot, frame)
            {
                self.waiting[end].pop_front();
            }
        }
        let mut tick = Tick { octets: 8, rx: &mut self.rx, tx: &self.tx };
        self.card.exchange(&mut tick).expect("the right shape");
        while self.card.poll().is_some() {}
        let mut frame = [0; 272];
        for (end, span) in [(0, 0u16), (1, 1)] {
            while let Some(len) = self.card.receive_frame(span, self.d_slot, &mut frame) {
                self.put(end, Input::Frame { span: span + 1, octets: &frame[..len] });
            }
        }
    }

    fn idle(&self) -> bool {
        self.ends.iter().all(|end| {
            let idle =
                |s: &Span| s.channels.iter().all(|&c| end.channel(s.number, c) == Some(ChannelState::Idle));
            end.calls() == 0 && end.spans().iter().all(idle)
        })
    }
}

/// Calls under way, and what became of all.
#[derive(Default)]
struct Book {
    placed: u64,
    live: BTreeMap<(usize, u64), Mono>,
    answered: u64,
    ended: BTreeMap<u8, u64>,
}

fn random(rng: &mut Rng, below: u64) -> u64 {
    rng.below(below)
}

/// Calls at once, so that a full span is no reason to refuse.
const LIVE_MAX: usize = 18;

/// Places `calls` calls from both ends and lets each talk a little.
fn storm<C: Card>(line: &mut Line<C>, calls: u64, seed: u64) -> Book {
    let (mut rng, mut book) = (Seed(seed).rng(), Book::default());
    while book.placed < calls || !book.live.is_empty() {
        line.tick();
        assert!(line.now.mono.as_ms() < 3_000_000, "stuck: {} placed, {:?}", book.placed, book.live);
        let up = line.ends.iter().all(Pri::is_up);
        if up && book.placed < calls && book.live.len() < LIVE_MAX && random(&mut rng, 12) == 0 {
            let end = usize::try_from(random(&mut rng, 2)).expect("a bit");
            book.placed += 1;
            let spans: Vec<u16> = line.ends[end].spans().iter().map(|s| s.number).collect();
            let ask = Ask::new("+15550123", "5550100", &spans, 60_000);
            book.live.insert((end, book.placed), Mono::from_ms(u64::MAX / 4_000_000));
            line.put(end, Input::Place(LegId(book.placed), Box::new(ask)));
        }
        while let Some((end, leg, indication)) = line.told.pop_front() {
            match indication {
                Indication::Incoming(_) => {
                    let media = Media::Timeslot { span: 0, slot: 0 };
                    line.put(end, Input::Leg(leg, Action::Accept { media }));
                }
                Indication::Answered { .. } if leg.0 < THEIRS => {
                    book.answered += 1;
                    let until = line.now.mono.as_ms() + random(&mut rng, 400);
                    book.live.insert((end, leg.0), Mono::from_ms(until));
                }
                Indication::Ended(ended) if leg.0 < THEIRS => {
                    let known = book.live.remove(&(end, leg.0));
                    assert!(known.is_some(), "leg {} ended twice", leg.0);
                    *book.ended.entry(ended.cause.0).or_default() += 1;
                }
                _ => {}
            }
        }
        let over: Vec<_> =
            book.live.iter().filter(|(_, at)| **at <= line.now.mono).map(|(k, _)| *k).collect();
        for (end, leg) in over {
            book.live.insert((end, leg), Mono::from_ms(u64::MAX / 4_000_000));
            line.put(end, Input::Leg(LegId(leg), Action::Clear(Cause::NORMAL)));
        }
    }
    // References of calls that the peer forgot are let go by T308, channels by RESTART.
    for _ in 0..200_000 {
        if line.idle() {
            break;
        }
        line.tick();
    }
    book
}

fn ten_thousand(switch: Switch) {
    let rates = Rates { bit_errors: 1e-4, ..Rates::default() };
    // Both sides take the lowest channel: as much glare as there can be.
    let mut line = Line::new(switch, [Hunt::Ascending; 2], |card| Fault::new(card, rates, Seed(8)));
    let book = storm(&mut line, 10_000, 31);
    let counters = line.ends.each_ref().map(Pri::counters);
    println!(
        "{}: {} placed, {} answered, ended by cause {:?}, {} ms of line, {counters:?}",
        switch.name,
        book.placed,
        book.answered,
        book.ended,
        line.now.mono.as_ms()
    );
    assert!(line.idle(), "a channel is not idle: {:?}", line.ends);
    assert_eq!(book.ended.values().sum::<u64>(), 10_000);
    assert!(book.answered >= 9_900, "{} answered", book.answered);
    assert!(counters[1].glare > 100, "there was hardly any glare: {counters:?}");
}

#[test]
fn ten_thousand_calls_of_euroisdn_over_a_bad_line() {
    ten_thousand(EURO);
}

#[test]
fn ten_thousand_calls_of_national_isdn_over_a_bad_line() {
    ten_thousand(NI2);
}

/// Calls a second that one D-channel sets up and clears, in the line's own time: the exchange keeps every channel busy with calls
/// that end as soon as they are answered.
fn set_up_rate(switch: Switch) -> u64 {
    let mut line = Line::new(switch, [Hunt::Ascending, Hunt::Descending], |card| card);
    let (mut next, mut done, mut began) = (0u64, 0u64, None);
    loop {
        line.tick();
        let now = line.now.mono.as_ms();
        if line.ends.iter().all(Pri::is_up) && line.ends[0].free(&[1]) > 0 {
            let began = *began.get_or_insert(now);
            if now > began + 20_000 {
                return done / 20;
            }
            next += 1;
            let ask = Ask::new("+15550123", "5550100", &[1], 60_000);
            line.put(0, Input::Place(LegId(next), Box::new(ask)));
        }
        while let Some((end, leg, indication)) = line.told.pop_front() {
            match indication {
                Indication::Incoming(_) => {
                    let media = Media::Timeslot { span: 0, slot: 0 };
                    line.put(end, Input::Leg(leg, Action::Accept { media }));
                }
                Indication::Answered { .. } if end == 0 => {
                    line.put(0, Input::Leg(leg, Action::Clear(Cause::NORMAL)));
                }
                Indication::Ended(ended) if end == 0 => done += u64::from(ended.cause == Cause::NORMAL),
                _ => {}
            }
        }
    }
}

#[test]
fn a_d_channel_sets_up_more_calls_a_second_than_its_channels_can_hold() {
    for switch in [EURO, NI2] {
        let rate = set_up_rate(switch);
        println!("{}: {rate} calls a second set up and cleared by one D-channel of 64 kbit/s", switch.name);
        // Thirty channels with calls of a second would need thirty.
        assert!(rate >= 30, "{rate}");
    }
}

#[test]
fn tshark_finds_nothing_malformed_in_what_we_say() {
    // Goal: every message we write is one that others read. Method: calls of every kind under a tap, read by tshark.
    for switch in [EURO, NI2] {
        let start = Wall(1_700_000_000_000);
        let mut line = Line::new(switch, [Hunt::Ascending, Hunt::Descending], |card| {
            Tap::new(card, &[], start, TapLimits { octets_max: 8 << 20, slots_max: 0 })
        });
        storm(&mut line, 60, 5);
        let mut ask = Ask::new("+493012345", "5550100", &[1], 5_000);
        ask.display = Some(Private::new("Alice Example".to_owned()));
        ask.redirecting = Some((Private::new("+493055555".to_owned()), 2));
        line.put(0, Input::Place(LegId(9_001), Box::new(ask)));
        for ms in 0..20_000 {
            line.tick();
            while let Some((end, leg, indication)) = line.told.pop_front() {
                if matches!(indication, Indication::Incoming(_)) {
                    let media = Some(Media::Timeslot { span: 0, slot: 0 });
                    line.put(end, Input::Leg(leg, Action::Ring { media: None }));
                    line.put(end, Input::Leg(leg, Action::Ring { media }));
                }
            }
            if ms == 10_000 {
                // A peer that begins anew.
                let (kind, d) = kind_of(switch);
                assert!(kind.slots() >= d);
                line.ends[1] = pri(Side::User, switch, 2, Hunt::Descending);
            }
        }
        let mut capture = Vec::new();
        line.card.take(&mut capture);
        let dir = tempfile::tempdir().expect("a place for files");
        let file = dir.path().join("d.pcapng");
        #[expect(clippy::disallowed_methods, reason = "a test uses files")]
        std::fs::write(&file, capture).expect("a small file");
        let shark = |args: &[&str]| Command::new("tshark").arg("-r").arg(&file).args(args).output();
        let Ok(out) = shark(&["-T", "fields", "-e", "q931.message_type"]) else {
            println!("SKIPPED: no tshark");
            return;
        };
        let kinds = String::from_utf8_lossy(&out.stdout).lines().fold(BTreeMap::new(), |mut all, l| {
            *all.entry(l.to_owned()).or_insert(0u32) += 1;
            all
        });
        for wanted in ["0x01", "0x02", "0x03", "0x05", "0x07", "0x0f", "0x45", "0x46", "0x4d", "0x4e", "0x5a"]
        {
            assert!(kinds.contains_key(wanted), "{}: no {wanted} in {kinds:?}", switch.name);
        }
        let bad = shark(&["-Y", "_ws.malformed || _ws.expert.severity >= 0x600000"]).expect("it ran before");
        let bad = String::from_utf8_lossy(&bad.stdout);
        assert!(bad.is_empty(), "{}: {bad}", switch.name);
    }
}
